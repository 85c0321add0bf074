import { setTimeout as sleep } from 'node:timers/promises'
import { newKey } from '../../src/ledger/ids.js'
import type { Operation } from '../../src/ledger/model.js'
import {
  charge,
  count,
  type Ground,
  grant,
  ids,
  keyOf,
  open,
  requestOf,
  told,
  withGround,
} from './kit.js'

/** `target` credits of a grant in all. */
const clawBack = (
  grantSeq: number,
  target: number,
  key = newKey(),
  accountId = 'ann',
): Operation => ({
  ...requestOf(accountId, key),
  ...{ kind: 'claw_back', grantSeq, target, reason: null, detail: { purchaseId: 'p' } },
  announce: { type: 'purchase.refunded', data: { purchaseId: 'p' } },
})

type Figures = { balance: number; held: number; debt: number; rows: number; events: number }

async function figuresOf({ pool }: Ground): Promise<Figures | undefined> {
  const { rows } = await pool.query<Figures>(
    `select balance, held, debt,
            (select count(*)::int from transactions t
              where t.account_id = a.id and t.type in ('claw_back', 'reinstate')) as rows,
            (select count(*)::int from events e
              where e.account_id = a.id and e.type = 'purchase.refunded') as events
       from accounts a where id = 'ann'`,
  )
  return rows[0]
}

withGround(
  'one target asked for 20 times at once from two processes moves once',
  async (t, ground) => {
    const services = [await ground.open(), await ground.open()] as const
    const [{ ledger }] = services
    await ledger.submit(open('ann'))
    await ledger.submit(grant('ann', 100))
    await ledger.submit(charge('ann', 30))
    const words = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        told(services[(i % 2) as 0 | 1].ledger.submit(clawBack(1, 100))),
      ),
    )
    t.same(count(words), { applied: 20 }, 'each is told that it is so')
    const once = { balance: 0, held: 0, debt: 30, rows: 1, events: 1 }
    t.same(await figuresOf(ground), once)
    const key = keyOf('again')
    t.equal(await told(ledger.submit(clawBack(1, 40, key))), 'applied')
    t.equal(await told(ledger.submit(clawBack(1, 40, key))), 'replayed')
    t.same(await figuresOf(ground), { ...once, balance: 30, debt: 0, rows: 2, events: 2 })
  },
)

withGround(
  'targets that race end at one of them, and all that moved adds up',
  async (t, ground) => {
    const services = [await ground.open(), await ground.open()] as const
    await services[0].ledger.submit(open('ann'))
    await services[0].ledger.submit(grant('ann', 100))
    await services[0].ledger.submit(charge('ann', 60))
    const targets = Array.from({ length: 60 }, (_, i) => (i * 37) % 101)
    const words = await Promise.all(
      targets.map((target, i) =>
        told(services[(i % 2) as 0 | 1].ledger.submit(clawBack(1, target))),
      ),
    )
    t.same(count(words), { applied: 60 })
    const { rows } = await ground.pool.query<{ clawed: number }>(
      'select sum(amount)::int as clawed from refunds',
    )
    const clawed = rows[0]?.clawed ?? -1
    t.ok(targets.includes(clawed), `${clawed} of 100`)
    const { balance = 0, debt = 0 } = (await figuresOf(ground)) ?? {}
    t.equal(balance - debt, 40 - clawed)
    t.ok(balance === 0 || debt === 0)
  },
)

withGround(
  'claw-backs race charges: nothing below zero, balance and debt exact',
  async (t, ground) => {
    const services = [await ground.open(), await ground.open()] as const
    await services[0].ledger.submit(open('ann'))
    for (let i = 0; i < 5; i += 1) await services[0].ledger.submit(grant('ann', 100))
    const asked = Array.from({ length: 200 }, (_, i) =>
      i % 10 === 0 ? clawBack(((i / 10) % 5) + 1, 100) : charge('ann', 7),
    )
    const words = await Promise.all(
      asked.map((operation, i) => told(services[(i % 2) as 0 | 1].ledger.submit(operation))),
    )
    const charges = words.filter(
      (word, i) => asked[i]?.kind === 'charge' && word === 'applied',
    ).length
    t.ok(asked.every(({ kind }, i) => kind === 'charge' || words[i] === 'applied'))
    const { balance = 0, debt = 0, rows } = (await figuresOf(ground)) ?? {}
    t.equal(rows, 5, 'each grant was clawed back once')
    t.equal(
      balance - debt,
      -7 * charges,
      'all that was granted is gone, and what was spent is owed',
    )
    t.same([balance, debt], [0, 7 * charges])
    t.comment(`${charges} charges came before`)
  },
)

withGround('held credits stay, and a hold that comes free pays the debt', async (t, ground) => {
  const { ledger } = await ground.open()
  await ledger.submit(open('ann'))
  await ledger.submit(grant('ann', 100))
  const price = () => ({ amount: 80, detail: null })
  const hold = { kind: 'hold', action: null, ttlMs: 60_000, quote: price } as const
  await ledger.submit({ ...requestOf('ann'), ...hold })
  await ledger.submit(clawBack(1, 100))
  t.match(await figuresOf(ground), { balance: 80, held: 80, debt: 80 })
  await ledger.submit({ ...requestOf('ann'), kind: 'release', holdSeq: 2 })
  t.match(await figuresOf(ground), { balance: 0, held: 0, debt: 0 })
})

withGround('what was clawed back is found again by an archived grant', async (t, ground) => {
  const { ledger } = await ground.open()
  await ledger.submit(open('ann'))
  await ledger.submit(grant('ann', 100))
  await ledger.submit(clawBack(1, 60))
  await ground.pool.query(`
    begin;
    set local session_replication_role = 'replica';
    insert into transactions_archive select * from transactions;
    delete from transactions;
    update accounts set has_archive = true;
    commit`)
  await ledger.submit(clawBack(1, 60))
  t.match(await figuresOf(ground), { balance: 40 }, 'it was there already')
  await ledger.submit(clawBack(1, 100))
  await ledger.submit(clawBack(1, 30))
  t.match(await figuresOf(ground), { balance: 70, debt: 0 })
})

withGround('back ends that are killed lose and double no claw-back (F2)', async (t, ground) => {
  const { ledger } = await ground.open({ limits: { timeoutMs: 3000 } })
  const accounts = ids(20)
  await Promise.all(accounts.map((id) => ledger.submit(open(id, 100))))
  let isOver = false
  /** One after the other, each until its outcome is known; the last target, and the charges. */
  const call = async (id: string) => {
    let [target, charged, unknown] = [0, 0, 0]
    for (let i = 0; !isOver; i += 1) {
      const next = (target + 37) % 101
      const asked = i % 2 === 0 ? clawBack(1, next, newKey(), id) : charge(id, 3)
      for (;;) {
        const word = await told(ledger.submit(asked))
        if (word === 'outcome_unknown' || word === 'overloaded') unknown += 1
        else if (word === 'insufficient_credits') break
        else {
          t.ok(['applied', 'replayed'].includes(word), word)
          if (asked.kind === 'charge') charged += 3
          else target = next
          break
        }
      }
    }
    return { id, target, charged, unknown }
  }
  const calls = Promise.all(accounts.map(call))
  for (let i = 0; i < 10; i += 1) {
    await sleep(100)
    await ground.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and query like '%ledger_%' and pid <> pg_backend_pid()`,
    )
  }
  isOver = true
  for (const { id, target, charged } of await calls) {
    const { rows } = await ground.pool.query(BOOKS, [id])
    t.match(rows[0], { clawed: target, net: 100 - target - charged }, id)
    t.equal(rows[0]?.events, rows[0]?.rows, 'one event for each row')
  }
  t.same(ground.faults, [])
})

const BOOKS = `
  select balance - debt as net,
         (select coalesce(sum(amount), 0)::int from refunds r where r.account_id = a.id) as clawed,
         (select count(*)::int from transactions t
           where t.account_id = a.id and t.type in ('claw_back', 'reinstate')) as rows,
         (select count(*)::int from events e
           where e.account_id = a.id and e.type = 'purchase.refunded') as events
    from accounts a where id = $1`
