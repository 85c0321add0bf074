import type { Operation } from '../../src/ledger/model.js'
import { verify } from '../../src/ledger/verify.js'
import { append, archive, outside } from './guarantees.js'
import { charge, decided, type Ground, grant, keyOf, open, requestOf, withGround } from './kit.js'

/** An account with some of everything: grants, charges, a refund, holds of each kind. */
async function furnish(ground: Ground, id: string): Promise<void> {
  const { port } = ground
  const place = { ...ground, prefix: '' }
  const price = (amount: number) => () => ({ amount, detail: null })
  const hold = { kind: 'hold', action: 'draw', ttlMs: 600_000, quote: price(5) } as const
  await append(place, open(id, 100), grant(id, 50), charge(id, 30, keyOf(`${id} charge`)))
  await append(place, { ...requestOf(id), kind: 'refund', chargeSeq: 3, amount: 10, reason: null })
  for (let i = 0; i < 3; i += 1) await append(place, { ...requestOf(id), ...hold })
  const capture = { ...requestOf(id), kind: 'capture', holdSeq: 5, quote: price(3) } as const
  const release = { ...requestOf(id), kind: 'release', holdSeq: 6 } as const
  await port.append(await decided(port, capture, release))
  await clawBacks(ground, id)
}

/** Of grant 10, all spent, held or revoked by then: from the rest, debt, back, and lapsed. */
async function clawBacks(ground: Ground, id: string): Promise<void> {
  const place = { ...ground, prefix: '' }
  const clawBack = (grantSeq: number, target: number): Operation => ({
    ...requestOf(id),
    ...{ kind: 'claw_back', grantSeq, target, reason: null, detail: { purchaseId: 'p' } },
  })
  await append(place, grant(id, 40), clawBack(10, 40), clawBack(10, 25), clawBack(10, 30))
  await append(place, { ...grant(id, 500) })
  await append(place, { ...requestOf(id), kind: 'revoke', grantSeq: 14, reason: null })
  await append(place, clawBack(14, 400), clawBack(2, 50), clawBack(1, 100), clawBack(1, 90))
}

const ROW = 'update transactions set'
const LAST = `seq = (select max(last.seq) from transactions last
                      where last.account_id = transactions.account_id)`

/** A damage, as no trigger would let it through, and the checks that name it, among others. */
const DAMAGES: readonly [what: string, statement: string, ...checks: string[]][] = [
  ['a balance is raised', 'update accounts set balance = balance + 1', 'balance_is_sum_of_rows'],
  ['a seq is skipped', 'update accounts set seq = seq + 1', 'seq_counts_rows'],
  ['held is lowered', 'update accounts set held = held - 1', 'held_is_sum_of_holds'],
  ['a row is gone', 'delete from transactions where seq = 3', 'rows_without_gaps', 'rows_chain'],
  ['an amount is changed', `${ROW} amount = amount - 1 where seq = 3`, 'rows_chain'],
  ['a balance after is changed', `${ROW} balance_after = 7 where seq = 3`, 'rows_chain'],
  ['the last held is changed', `${ROW} held_after = 1 where ${LAST}`, 'last_row_has_held'],
  ['the last debt is changed', `${ROW} debt_after = 1 where ${LAST}`, 'last_row_has_debt'],
  [
    'a row is older than the one before',
    `${ROW} created_at = '2001-01-01' where seq = 4`,
    'time_never_goes_back',
  ],
  [
    'a row names other parts',
    `${ROW} parts = '[[1, -29, "bonus"]]' where seq = 3`,
    'parts_add_up',
    'grants_match_rows',
  ],
  [
    'a payer is exchanged',
    `${ROW} parts = '[[2, -30, "bonus"]]' where seq = 3`,
    'grants_match_rows',
  ],
  [
    'a lot has more',
    'update grants set remaining = remaining + 1 where grant_seq = 1',
    'balance_is_sum_of_grants',
    'grants_match_rows',
  ],
  ['a lot was larger', 'update grants set amount = amount + 1', 'grants_have_their_amount'],
  [
    'a lot holds less',
    'update grants set held = 0 where held > 0',
    'held_is_sum_of_grants',
    'grants_match_holds',
  ],
  [
    'a hold is larger',
    `update holds set amount = 9 where status = 'active'`,
    'held_is_sum_of_holds',
  ],
  [
    'a hold is settled by another row',
    `update holds set settled_seq = 4 where settled_seq = 8`,
    'holds_settled_by_a_row',
  ],
  [
    'a capture is forgotten',
    'update holds set captured = 0 where captured > 0',
    'captures_match_rows',
  ],
  [
    'a capture is of more',
    'update holds set captured = 4 where captured > 0',
    'captures_match_rows',
  ],
  [
    'a refund is larger than its charge',
    'update refunds set amount = 31',
    'refunds_within_charges',
    'refunds_match_rows',
  ],
  ['a refund is of another charge', 'update refunds set charge_seq = 1', 'refunds_within_charges'],
  ['a refund is gone', 'delete from refunds', 'refunds_match_rows'],
  ['a claw-back is gone', 'delete from refunds where charge_seq = 14', 'claw_backs_match_rows'],
  [
    'a claw-back is of another grant',
    'update refunds set charge_seq = 14 where charge_seq = 2',
    'claw_backs_match_rows',
  ],
  [
    'more was clawed back than the grant was',
    'update refunds set amount = 501 where charge_seq = 14',
    'claw_backs_within_grants',
    'claw_backs_match_rows',
  ],
  [
    'more was reinstated than clawed back',
    'update refunds set amount = -46 where amount = -15',
    'claw_backs_within_grants',
    'claw_backs_match_rows',
  ],
  [
    'a claw-back is called a refund',
    `${ROW} type = 'refund' where type = 'claw_back' and seq = 11`,
    'refunds_within_charges',
    'refunds_match_rows',
    'claw_backs_match_rows',
  ],
  [
    'a claw-back made a debt that nobody has',
    `${ROW} debt_after = 0 where type = 'claw_back' and debt_after > 0`,
    'debt_follows_rows',
  ],
  ['a debt came from nowhere', `${ROW} debt_after = 5 where seq = 4`, 'debt_follows_rows'],
  [
    'a claw-back took more than it says',
    `${ROW} detail = detail || '{"clawedBack": 1}' where seq = 11`,
    'claw_backs_take_no_more',
    'claw_backs_match_rows',
  ],
  [
    'a claw-back tells nothing any more',
    `${ROW} detail = null where type = 'claw_back'`,
    'claw_backs_take_no_more',
    'debt_follows_rows',
  ],
  [
    'a row is in both tables',
    'insert into transactions_archive select * from transactions where seq = 3',
    'keys_used_once',
    'rows_without_gaps',
  ],
  ['the account is gone', 'delete from accounts', 'account_exists'],
]

withGround('verify names every damage, and its account only', async (t, ground) => {
  const { pool } = ground
  await furnish(ground, 'a')
  await furnish(ground, 'b')
  await archive(ground, 'b')
  await pool.query(`update accounts set has_archive = true where id = 'b'`)
  t.same(await verify(pool, null), { accounts: 2, mismatches: [] }, 'sound, archived rows or not')
  for (const [what, statement, ...checks] of DAMAGES) {
    const own = statement.includes(' where ') ? ' and ' : ' where '
    const id = statement.includes(' accounts') ? 'id' : 'account_id'
    await outside(ground, async (client) => {
      await client.query('begin')
      await client.query(`set local session_replication_role = 'replica'`)
      for (const table of ['accounts', 'grants', 'holds', 'transactions']) {
        await client.query(`alter table ${table} disable trigger all`)
        await dropChecks(client, table)
      }
      await client.query(`${statement}${own}${id} = 'a'`)
      const { mismatches } = await verify(client as never, null)
      const named = new Set(mismatches.map(({ check }) => check))
      for (const check of checks) t.ok(named.has(check), `${what}: ${check} of ${[...named]}`)
      t.same([...new Set(mismatches.map(({ accountId }) => accountId))], ['a'], what)
      await client.query('rollback')
    })
  }
  t.same((await verify(pool, 'a')).accounts, 1)
})

withGround('verify goes through the accounts in slices and misses no row', async (t, ground) => {
  const { pool } = ground
  for (const id of ['b', 'd', 'f', 'h', 'j']) await furnish(ground, id)
  const slices = { sliceAccounts: 2 }
  t.same(await verify(pool, null, slices), { accounts: 5, mismatches: [] })
  await outside(ground, async (client) => {
    await client.query('begin')
    await client.query(`set local session_replication_role = 'replica'`)
    // before the first id, between and at the ends of slices, after the last
    for (const [from, to] of [
      ['b', 'a'],
      ['d', 'e'],
      ['h', 'z'],
    ]) {
      await client.query('update transactions set account_id = $2 where account_id = $1', [
        from,
        to,
      ])
    }
    await client.query(`update grants set account_id = 'g' where account_id = 'f'`)
    const sliced = await verify(client as never, null, slices)
    t.same(sliced, await verify(client as never, null), 'the slices change nothing')
    t.equal(sliced.accounts, 5)
    const lost = sliced.mismatches.filter(({ check }) => check === 'account_exists')
    t.same(
      lost.map(({ accountId }) => accountId),
      ['a', 'e', 'g', 'z'],
    )
    t.notOk(sliced.mismatches.some(({ accountId }) => accountId === 'j'))
    await client.query('rollback')
  })
})

withGround('verify ends between two slices when it is told to', async (t, ground) => {
  const { pool } = ground
  for (const id of ['a', 'b', 'c']) await append({ ...ground, prefix: '' }, open(id, 1))
  const abort = new AbortController()
  let statements = 0
  const query = (...args: Parameters<typeof pool.query>) => {
    statements += 1
    if (statements === 2) abort.abort(new Error('enough'))
    return pool.query(...args)
  }
  const slices = { sliceAccounts: 1, signal: abort.signal }
  await t.rejects(verify({ query } as never, null, slices), { message: 'enough' })
  t.equal(statements, 2)
})

type Client = Parameters<Parameters<typeof outside>[1]>[0]

async function dropChecks(client: Client, table: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select conname as name from pg_constraint where contype = 'c' and conrelid = $1::regclass`,
    [table],
  )
  for (const { name } of rows) await client.query(`alter table ${table} drop constraint ${name}`)
}
