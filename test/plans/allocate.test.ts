import t from 'tap'
import { createAllocate } from '../../src/plans/allocate.js'
import { createFinish } from '../../src/plans/finish.js'
import { openScene, putPlan, type Scene } from './kit.js'

const ACCOUNTS = 10_000
/** On a machine at leisure it takes a few seconds; others may be at work. */
const MAX_MS = 20_000

const idOf = (n: number) => `acct-${n}`

/** Accounts whose period has just begun and has not been allocated. */
const furnish = async ({ core }: Scene, accounts: number, planId: string): Promise<void> => {
  const opening = Array.from({ length: accounts }, (_, n) => {
    const request = { accountId: idOf(n), key: core.newId(), digest: core.newId() }
    const by = { actor: 'test', requestId: null, metadata: null }
    return core.ledger.submit({ ...request, ...by, kind: 'open', signupBonus: 0 })
  })
  await Promise.all(opening)
  await core.db.pool.query(
    `insert into subscriptions (account_id, plan_id, status, anchor_at, next_allocation_at,
                                created_at, updated_at)
     select id, $1, 'active', now() - interval '1 s', now() - interval '1 s', now(), now()
       from accounts`,
    [planId],
  )
}

type Totals = { accounts: number; rows: number; credits: number }

const totalsOf = async ({ core }: Scene): Promise<Totals> => {
  const { rows } = await core.db.pool.query<Totals>(
    `select count(distinct account_id) as accounts, count(*) as rows,
            coalesce(sum(amount), 0)::bigint as credits
       from transactions where type = 'allocation'`,
  )
  return rows[0] ?? { accounts: 0, rows: 0, credits: 0 }
}

const wide = { LEDGER_QUEUE_LIMIT: '20000' }

t.test('10,000 accounts that are due at once are allocated to in seconds', async (t) => {
  const scene = await openScene(t, { environment: wide })
  await furnish(scene, ACCOUNTS, 'pro')
  const startedMs = performance.now()
  const outcome = await scene.allocate()
  const tookMs = performance.now() - startedMs
  t.comment(`${ACCOUNTS} accounts in ${(tookMs / 1000).toFixed(1)} s`)
  t.equal(outcome, `${ACCOUNTS} subscriptions due, ${ACCOUNTS} allocated, 0 failed`)
  t.ok(tookMs < MAX_MS, `${tookMs} ms`)
  t.same(await totalsOf(scene), { accounts: ACCOUNTS, rows: ACCOUNTS, credits: ACCOUNTS * 300 })
  t.match(await scene.allocate(), /^0 subscriptions/)
  t.same(await scene.mismatches(), [])
})

t.test('ten at once, of two instances, allocate to each account once', async (t) => {
  const one = await openScene(t)
  const other = await openScene(t, { url: one.url })
  const accounts = 1_500
  await furnish(one, accounts, 'pro')
  const outcomes = await Promise.all(
    Array.from({ length: 10 }, (_, n) => (n % 2 ? one : other).allocate()),
  )
  const sum = outcomes.reduce(
    (total, text) => total + Number(/^(\d+) subs/.exec(text ?? '')?.[1]),
    0,
  )
  t.equal(sum, accounts)
  t.same(await totalsOf(one), { accounts, rows: accounts, credits: accounts * 300 })
  t.same(await one.mismatches(), [])
})

t.test('two instances at once roll over the same credits once', async (t) => {
  const one = await openScene(t)
  await putPlan(one, 'roll', {
    ...{ tier: 'pro', monthlyCredits: 100, rolloverEnabled: true, rolloverMax: 60 },
  })
  const other = await openScene(t, { url: one.url })
  const accounts = 200
  let endMs = 0
  for (let n = 0; n < accounts; n += 1) {
    await one.open(idOf(n))
    const { periodEnd } = await one.subscribe(idOf(n), 'roll')
    endMs = Math.max(endMs, Date.parse(String(periodEnd)))
  }
  await one.moveTo(endMs)
  await other.moveTo(endMs)
  await Promise.all([one.allocate(), other.allocate(), one.allocate(), other.allocate()])
  const { rows } = await one.core.db.pool.query(
    `select rolled_over, count(*) as accounts from allocations
      where done_at is not null and period_start > $1 group by 1`,
    [new Date(one.now() - 5 * 86_400_000)],
  )
  t.same(rows, [{ rolled_over: 60, accounts }])
  t.same(await totalsOf(one), {
    ...{ accounts, rows: 2 * accounts, credits: accounts * (100 + 160) },
  })
  t.same(await one.mismatches(), [])
})

/** The service's job with something of it taken away. */
const jobOf = ({ core }: Scene, ledger: Scene['core']['ledger']) => {
  const { db, now } = core
  const payeeOf = async (accountId: string) => accountId
  const finish = createFinish({ db, ledger, payeeOf, now, onFault: () => {} })
  return createAllocate({ db, finish, now })
}

t.test('a crash after the ledger was written is finished, and gives nothing twice', async (t) => {
  const scene = await openScene(t)
  const { core } = scene
  await furnish(scene, 20, 'pro')
  const dying = {
    ...core.ledger,
    async submit(...args: Parameters<typeof core.ledger.submit>) {
      await core.ledger.submit(...args)
      throw new Error('the process is gone')
    },
  }
  const crashing = jobOf(scene, dying)
  await t.rejects(crashing.run(), { message: 'the process is gone' })
  t.same(await totalsOf(scene), { accounts: 20, rows: 20, credits: 6_000 })
  const openRows = async () => {
    const { rows } = await core.db.pool.query(
      'select count(*)::int as n from allocations where done_at is null',
    )
    return rows[0].n
  }
  t.equal(await openRows(), 20, 'it is not known to be there')
  await scene.moveTo(scene.now() + 60_000)
  t.match(await scene.allocate(), /^0 subscriptions due, 20 allocated, 0 failed$/)
  t.equal(await openRows(), 0)
  t.same(await totalsOf(scene), { accounts: 20, rows: 20, credits: 6_000 })
  const { rows } = await core.db.pool.query(
    `select count(*)::int as n from allocations a
       join grants g on g.account_id = a.account_id and g.grant_seq = a.grant_seq
      where g.amount = 300`,
  )
  t.equal(rows[0].n, 20, 'and it is known which lot is whose')
  t.same(await scene.mismatches(), [])
})

t.test('a crash before the ledger was written loses nothing', async (t) => {
  const scene = await openScene(t)
  await furnish(scene, 20, 'pro')
  const dead = {
    ...scene.core.ledger,
    submit: async () => {
      throw new Error('the process is gone')
    },
  }
  await t.rejects(jobOf(scene, dead).run(), { message: 'the process is gone' })
  t.same(await totalsOf(scene), { accounts: 0, rows: 0, credits: 0 })
  await scene.moveTo(scene.now() + 60_000)
  t.match(await scene.allocate(), /^0 subscriptions due, 20 allocated/)
  t.same(await totalsOf(scene), { accounts: 20, rows: 20, credits: 6_000 })
  t.same(await scene.mismatches(), [])
})

t.test('one account that refuses does not keep the others from theirs', async (t) => {
  const scene = await openScene(t)
  const { core } = scene
  await furnish(scene, 3, 'pro')
  // as many lots as an account can have
  for (let n = 0; n < 1_000; n += 1) {
    const request = { accountId: idOf(1), key: core.newId(), digest: core.newId() }
    const by = { actor: 'test', requestId: null, metadata: null, reason: null }
    const lot = { amount: 1, source: 'bonus', priority: 50, expiresAtMs: null } as const
    await core.ledger.submit({ ...request, ...by, ...lot, kind: 'grant' })
  }
  t.match(await scene.allocate(), /^3 subscriptions due, 2 allocated, 1 failed$/)
  t.match(await scene.balance(idOf(1)), { balance: 1_000 })
  await scene.call('POST', `/v1/accounts/${idOf(1)}/charges`, { amount: 10 })
  await scene.moveTo(scene.now() + 60_000)
  t.match(await scene.allocate(), /^0 subscriptions due, 1 allocated, 0 failed$/)
  t.match(await scene.balance(idOf(1)), { balance: 1_290 })
  t.same(await scene.mismatches(), [])
})

t.test('what would be allocated is told without allocating it', async (t) => {
  const scene = await openScene(t)
  await putPlan(scene, 'gift', { tier: 'pro', monthlyCredits: 50, bonusPercentage: 10 })
  await furnish(scene, 700, 'gift')
  const job = jobOf(scene, scene.core.ledger)
  t.equal(await job.count(), 700)
  const expected = { subscriptions: 700, allocations: 700, credits: 35_000, bonus: 3_500 }
  t.same(await job.preview(), expected)
  t.same(await totalsOf(scene), { accounts: 0, rows: 0, credits: 0 })
  const seen: number[] = []
  await job.run(undefined, ({ subscriptions }) => seen.push(subscriptions))
  t.equal(Math.max(...seen), 700)
  t.same(await job.preview(), { subscriptions: 0, allocations: 0, credits: 0, bonus: 0 })
})
