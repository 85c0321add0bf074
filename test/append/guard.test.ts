import type pg from 'pg'
import { type FailureKind, PortError } from '../../src/ledger/port.js'
import { append, archive } from './guarantees.js'
import { charge, decided, type Ground, open, requestOf, withGround } from './kit.js'

type Refusal = { readonly code?: string; readonly constraint?: string }

const refusalOf = (pool: pg.Pool, statement: string): Promise<Refusal> =>
  pool.query(statement).then(
    () => ({}),
    ({ code, constraint }: Refusal) => ({ code, ...(constraint && { constraint }) }),
  )

const place = ({ url, pool, port }: Ground) => ({ url, pool, port, prefix: '' })

withGround('rows of the ledger are never changed or removed', async (t, ground) => {
  const { pool, port, url } = ground
  await append(place(ground), open('a', 10), open('b', 10))
  await append(place(ground), charge('a', 4))
  const refund = {
    ...requestOf('a'),
    kind: 'refund',
    chargeSeq: 2,
    amount: 1,
    reason: null,
  } as const
  await port.append(await decided(port, refund))
  await archive({ url }, 'b')
  await pool.query(`update accounts set has_archive = true where id = 'b'`)
  for (const table of ['transactions', 'transactions_archive', 'refunds']) {
    for (const change of [
      `update ${table} set amount = amount + 1`,
      `update ${table} set amount = amount where false`,
      `delete from ${table}`,
      `truncate ${table} cascade`,
    ]) {
      t.same(await refusalOf(pool, change), { code: '23001' }, change)
    }
  }
})

/** One change that each named check must refuse. */
const BREACHES: Record<string, string> = {
  accounts_balance_not_negative: 'update accounts set balance = -1, held = -1',
  accounts_held_within_balance: 'update accounts set held = balance + 1',
  accounts_debt_not_negative: 'update accounts set debt = -1',
  accounts_amounts_exact: 'update accounts set balance = 9007199254740992',
  accounts_debt_or_available: 'update accounts set debt = 1',
  accounts_status_known: `update accounts set status = 'gone'`,
  grants_amount_positive: 'update grants set amount = 0, remaining = 0, held = 0, live = false',
  grants_remaining_in_range: 'update grants set remaining = amount + 1',
  grants_held_within_remaining: 'update grants set held = remaining + 1',
  grants_live_is_remaining: 'update grants set live = not live',
  grants_source_known: `update grants set source = 'found'`,
  transactions_seq_positive: insertRow({ seq: '0' }),
  transactions_balance_not_negative: insertRow({ balance_after: '-1', held_after: '-1' }),
  transactions_held_within_balance: insertRow({ held_after: '2' }),
  transactions_debt_not_negative: insertRow({ debt_after: '-1' }),
  holds_amount_not_negative: 'update holds set amount = -1',
  holds_status_known: `update holds set status = 'lost', settled_seq = 3`,
  holds_settled_once: `update holds set status = 'captured'`,
  refunds_amount_not_zero: `insert into refunds values ('a', 1, 2, 0)`,
  control_one_row: `insert into control values (2, gen_random_uuid(), true, null, now())`,
}

function insertRow(values: Record<string, string>): string {
  const row = { seq: '9', balance_after: '1', held_after: '0', debt_after: '0', ...values }
  return `
    insert into transactions (account_id, type, actor, amount, created_at, ${Object.keys(row)})
    values ('a', 'grant', 'tester', 0, now(), ${Object.values(row)})`
}

withGround('every named check of the ledger refuses its breach', async (t, ground) => {
  const { pool, port } = ground
  await append(place(ground), open('a', 10))
  const hold = { ...requestOf('a'), kind: 'hold', action: null, ttlMs: 60_000 } as const
  await port.append(await decided(port, { ...hold, quote: () => ({ amount: 5, detail: null }) }))
  const { rows } = await pool.query<{ name: string }>(
    `select conname as name from pg_constraint
      where contype = 'c' and conrelid = any (array['accounts', 'grants', 'transactions',
            'transactions_archive', 'holds', 'refunds', 'pending_work', 'control']::regclass[])
      order by 1`,
  )
  t.same(
    rows.map(({ name }) => name),
    Object.keys(BREACHES).sort(),
    'each check has its breach',
  )
  for (const [constraint, breach] of Object.entries(BREACHES)) {
    t.same(await refusalOf(pool, breach), { code: '23514', constraint })
  }
})

/** What a statement that fails with each SQLSTATE tells about its effect. */
const KINDS: Record<string, FailureKind> = {
  '40001': 'retry',
  '40P01': 'retry',
  '55P03': 'locked',
  '25006': 'unavailable',
  '53100': 'unavailable',
  '53200': 'unavailable',
  '53300': 'unavailable',
  '57014': 'unknown',
  '57P01': 'unknown',
  '57P02': 'unknown',
  '57P03': 'unknown',
  '08006': 'unknown',
  '08P01': 'unknown',
  '22P02': 'data',
  '22003': 'data',
  '23505': 'data',
  '23514': 'data',
  XX000: 'failed',
  '42883': 'failed',
  '42501': 'failed',
  '58030': 'failed',
  P0001: 'failed',
}

withGround('fine print 6: each SQLSTATE tells what became of the batch', async (t, ground) => {
  const { pool, port } = ground
  const batch = await decided(port, open('a', 10))
  const { rows } = await pool.query<{ text: string }>(
    `select pg_get_functiondef('ledger_append'::regproc) as text`,
  )
  const text = rows[0]?.text ?? ''
  for (const [state, kind] of Object.entries(KINDS)) {
    await pool.query(
      text.replace(/\nbegin\n/, `\nbegin\nraise exception using errcode = '${state}';\n`),
    )
    const failure = await port.append(batch).then(
      () => null,
      (error: unknown) => error,
    )
    t.ok(failure instanceof PortError && failure.kind === kind, `${state} is ${kind}: ${failure}`)
  }
  await pool.query(text)
})
