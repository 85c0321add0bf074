import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { atOnce, type CallOptions, eventually, type Reply, tally } from './kit-client.js'
import { openPostgres } from './kit-postgres.js'
import { openScene, TIMEOUT_MS } from './kit-scene.js'

/** Short, so that a fault outlasts them. */
const REQUEST_TIMEOUT_MS = 2_500
const STATEMENT_TIMEOUT_MS = 2_000
const POOL_TIMEOUT_MS = 1_000
/** As 10 s with the default limits: longer than a lock, a statement and a request may wait. */
const HELD_MS = REQUEST_TIMEOUT_MS + 1_000
/** How much later than its deadline an answer may come on a busy machine. */
const SLACK_MS = 1_000
/** After a fault all is well again within this: the longest pause between attempts, and some. */
const RETURN_MS = 10_000

t.setTimeout(TIMEOUT_MS)
const postgres = await openPostgres(t)

t.test('the database under two services', { timeout: TIMEOUT_MS }, async (t) => {
  const url = await postgres.createDatabase('faults')
  const env = {
    DATABASE_URL: url,
    REQUEST_TIMEOUT_MS: String(REQUEST_TIMEOUT_MS),
    DATABASE_STATEMENT_TIMEOUT_MS: String(STATEMENT_TIMEOUT_MS),
    DATABASE_POOL_TIMEOUT_MS: String(POOL_TIMEOUT_MS),
    DATABASE_LOCK_TIMEOUT_MS: '1000',
  }
  const scene = await openScene(t, { places: 2, databaseUrl: () => url, env })
  const { ground, random } = scene
  const { call, open, balanceOf } = ground
  const charge = (accountId: string, options?: CallOptions) =>
    call('POST', `/v1/accounts/${accountId}/charges`, { amount: 1 }, options)
  const others = ['free-1', 'free-2', 'free-3', 'free-4', 'free-5']
  const isUp = () =>
    postgres.administrate('select 1').then(
      () => true,
      () => false,
    )
  await open('probe', 1_000_000)

  /** How long until writes go through either service again. */
  const returned = (): Promise<number> =>
    eventually(
      'writes go through both again',
      async () => {
        const replies = await atOnce(2, (through) => charge('probe', { through }))
        return replies.every(({ status }) => status === 201)
      },
      RETURN_MS,
    )

  await t.test('F2: kill -9 of a back end under load, twice', async (t) => {
    const load = await scene.load()
    for (let round = 0; round < 2; round += 1) {
      await sleep(random.between(300, 700))
      process.kill(random.pick(await postgres.backEnds()), 'SIGKILL')
      await eventually('the server is up again', isUp, RETURN_MS)
      t.comment(`writes after ${(await returned()).toFixed()} ms`)
    }
    await load.check(t)
  })

  await t.test('F2: immediate stop of the server, and kill -9, under load', async (t) => {
    const load = await scene.load()
    for (const signal of ['SIGQUIT', 'SIGKILL'] as const) {
      await sleep(random.between(300, 700))
      await postgres.crash(signal)
      await sleep(random.between(200, 600))
      await postgres.start()
      t.comment(`${signal}: writes after ${(await returned()).toFixed()} ms`)
    }
    await load.check(t)
  })

  await t.test('F4: the server stands still for 5 s: deadlines hold', async (t) => {
    const load = await scene.load()
    await sleep(400)
    const pids = [postgres.pid(), ...(await postgres.backEnds())]
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    const thaw = () => {
      for (const pid of pids.splice(0)) process.kill(pid, 'SIGCONT')
    }
    t.teardown(thaw)
    const thawing = sleep(5_000).then(thaw)
    await sleep(100)
    const path = '/v1/accounts/probe'
    const asked: readonly (readonly [string, Promise<Reply>])[] = [
      ['a charge', charge('probe')],
      ['a hold', call('POST', `${path}/holds`, { amount: 1, ttlSeconds: 1 })],
      ['a transfer', call('POST', '/v1/transfers', { from: 'probe', to: 'no', amount: 1 })],
      ['an account', call('PUT', '/v1/accounts/still', {}, { idempotencyKey: 'still' })],
      ['a price', call('PUT', '/v1/prices/still', { cost: 1 })],
      ['a balance', call('GET', `${path}/balance`)],
      ['the history', call('GET', `${path}/transactions`)],
      ['readiness', call('GET', '/health/ready')],
      ['liveness', call('GET', '/health')],
    ]
    // more than there are connections
    const crowd = atOnce(40, () => call('GET', `${path}/balance`))
    const replies = await Promise.all(asked.map(([, reply]) => reply))
    const told = replies.map(({ status, ms }, i) => `${asked[i]?.[0]} ${status} ${ms.toFixed()} ms`)
    t.comment(told.join(', '))
    for (const [i, { status, ms }] of replies.entries()) {
      t.ok(ms < REQUEST_TIMEOUT_MS + SLACK_MS, told[i] ?? '')
      t.equal(status, asked[i]?.[0] === 'liveness' ? 200 : 503)
    }
    t.same(tally(await crowd), { 503: 40 })
    await thawing
    t.comment(`writes after ${(await returned()).toFixed()} ms`)
    await load.stop()
    const durations = load.calls.map(({ startMs, endMs }) => endMs - startMs)
    const slowest = Math.max(...durations)
    t.ok(slowest < REQUEST_TIMEOUT_MS + SLACK_MS, `the slowest took ${slowest.toFixed()} ms`)
    t.ok(slowest > 1_000, 'it did stand still')
    await load.check(t)
  })

  await t.test('F15: a database that takes no writes: reads go on', async (t) => {
    const load = await scene.load()
    await sleep(300)
    await postgres.administrate('alter system set default_transaction_read_only = on')
    await postgres.administrate('select pg_reload_conf()')
    const isReadOnly = async () => (await charge('probe')).status === 503
    await eventually('writes are refused', isReadOnly, 5_000)
    const writes = await atOnce(10, () => charge('probe'))
    t.same(tally(writes), { 503: 10 })
    for (const { body, headers } of writes) {
      t.equal(body.code, 'database_unavailable')
      t.ok(Number(headers['retry-after']) >= 1)
    }
    const others = await Promise.all([
      call('PUT', '/v1/accounts/new', {}),
      call('PUT', '/v1/accounts/new', {}, { idempotencyKey: 'new' }),
      call('PUT', '/v1/prices/read.only', { cost: 1 }),
      call('POST', '/v1/api-keys', { name: 'x', scopes: ['admin'] }),
    ])
    t.same(tally(others), { 503: 4 })
    const reads = await Promise.all([
      call('GET', '/v1/accounts/probe'),
      call('GET', '/v1/accounts/probe/balance'),
      call('GET', '/v1/accounts/probe/transactions'),
      call('GET', '/v1/prices'),
      call('GET', '/v1/reconcile?accountId=probe'),
    ])
    t.same(tally(reads), { 200: 5 })
    await sleep(300)
    await postgres.administrate('alter system reset default_transaction_read_only')
    await postgres.administrate('select pg_reload_conf()')
    t.comment(`writes after ${(await returned()).toFixed()} ms`)
    await load.check(t)
  })

  await t.test('F16: somebody else holds one account: only that one waits', async (t) => {
    await Promise.all([open('locked', 100), ...others.map((id) => open(id, 1_000_000))])
    const outside = new pg.Client({ connectionString: url })
    await outside.connect()
    t.teardown(() => outside.end())
    await outside.query(`begin`)
    await outside.query(`select 1 from accounts where id = 'locked' for update`)
    const asked = () => atOnce(10, () => charge('locked', { idempotencyKey: 'waits' }))
    const waiting = asked()
    const startMs = performance.now()
    const beside: Reply[] = []
    await atOnce(8, async (i) => {
      while (performance.now() - startMs < HELD_MS) beside.push(await charge(others[i % 5] ?? ''))
    })
    t.same(Object.keys(tally(beside)), ['201'], `${beside.length} went by`)
    const p99 = beside.map(({ ms }) => ms).toSorted((a, b) => a - b)[
      Math.floor(beside.length * 0.99)
    ]
    t.ok((p99 ?? 0) < 500, `p99 of the others: ${p99?.toFixed()} ms`)
    const told = await waiting
    t.same(tally(told), { 503: 10 }, 'its own callers hear by their deadline')
    for (const { ms, body } of told) {
      t.ok(['outcome_unknown', 'overloaded'].includes(body.code), body.code)
      t.ok(ms < REQUEST_TIMEOUT_MS + SLACK_MS, `after ${ms.toFixed()} ms`)
    }
    await outside.query('rollback')
    const again = await asked()
    t.same(Object.keys(tally(again)), ['201'], 'then its turn comes, once')
    t.equal(await balanceOf('locked'), 99)
  })
})
