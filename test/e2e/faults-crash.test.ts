import pg from 'pg'
import t from 'tap'
import { atOnce, eventually, type Reply, tally } from './kit-client.js'
import { assertReconciled } from './kit-ground.js'
import { openPostgres } from './kit-postgres.js'
import { openScene, TIMEOUT_MS } from './kit-scene.js'
import { raiseOnPoison, slowDown } from './kit-triggers.js'

t.setTimeout(TIMEOUT_MS)

t.test('crashes at chosen points', { timeout: TIMEOUT_MS }, async (t) => {
  const postgres = await openPostgres(t)
  const url = await postgres.createDatabase('crashes')
  const env = { DATABASE_URL: url, LEDGER_BATCH_LIMIT: '20' }
  const scene = await openScene(t, { places: 2, databaseUrl: () => url, env })
  const { ground } = scene
  const { call, open, balanceOf, sql } = ground

  /** Keeps an account's row locked from outside; gives what lets it go. */
  const lockRow = async (accountId: string) => {
    const outside = new pg.Client({ connectionString: url })
    await outside.connect()
    await outside.query('begin')
    await outside.query('select 1 from accounts where id = $1 for update', [accountId])
    return () => outside.end()
  }
  const rowsOf = (accountId: string) =>
    sql<{ type: string }>('select type from transactions where account_id = $1', [accountId])
  const isAppending = async () => {
    const [row] = await sql(
      `select 1 from pg_stat_activity
        where wait_event = 'PgSleep' and query like '%ledger_append%'`,
    )
    return row !== undefined
  }
  const balanceOfThrough = async (through: number, accountId: string) =>
    (await call('GET', `/v1/accounts/${accountId}/balance`, undefined, { through })).body.balance
  const charge = (accountId: string, through: number) =>
    call(
      'POST',
      `/v1/accounts/${accountId}/charges`,
      { amount: 10 },
      { idempotencyKey: accountId, through },
    )

  await t.test('F1: kill -9 before a batch can be written: it never was', async (t) => {
    await open('before', 100)
    const unlock = await lockRow('before')
    const cut = t.rejects(charge('before', 0), 'nobody answers')
    await eventually('the charge waits', async () => (await waitingFor(sql)) > 0, 10_000)
    await scene.kill(0)
    await cut
    await unlock()
    const again = await charge('before', 1)
    t.match(again, { status: 201, body: { seq: 2, balanceAfter: 90 } })
    t.equal(again.headers['idempotent-replayed'], undefined, 'done for the first time')
    await scene.start(0)
  })

  await t.test(
    'F1: kill -9 while a batch is being written: asked at once, it is done once',
    async (t) => {
      await open('during', 100)
      const hurry = await slowDown(sql, 0.8)
      const cut = t.rejects(charge('during', 1), 'nobody answers')
      await eventually('it is being written', isAppending, 10_000)
      await scene.kill(1)
      await cut
      t.equal(await isAppending(), true, 'the database goes on with it')
      const again = await charge('during', 0)
      t.match(again, { status: 201, body: { seq: 2, balanceAfter: 90 } })
      t.equal(again.headers['idempotent-replayed'], 'true', 'it was done by then')
      await hurry()
      t.equal((await rowsOf('during')).length, 2)
      await scene.start(1)
    },
  )

  await t.test('F1: kill -9 after the commit and before the reply: it was done', async (t) => {
    await open('after', 100)
    const hurry = await slowDown(sql, 0.3)
    const cut = t.rejects(charge('after', 0), 'nobody answers')
    await eventually('it is being written', isAppending, 10_000)
    process.kill(scene.services[0]?.pid ?? 0, 'SIGSTOP')
    const isCommitted = async () => (await rowsOf('after')).length === 2
    await eventually('it is committed', isCommitted, 10_000)
    await scene.kill(0)
    await cut
    await hurry()
    const again = await charge('after', 1)
    t.match(again, { status: 201, body: { seq: 2, balanceAfter: 90 } })
    t.equal(again.headers['idempotent-replayed'], 'true')
    t.equal(await balanceOfThrough(1, 'after'), 90)
    await scene.start(0)
  })

  await t.test('kill -9 in the middle of a bulk call: the same again completes it', async (t) => {
    const accounts = Array.from({ length: 30 }, (_, i) => `bulk-${i}`)
    await Promise.all(accounts.map((id) => open(id, 100)))
    const operations = Array.from({ length: 300 }, (_, i) => ({
      type: 'charge',
      accountId: accounts[i % 30],
      amount: 3,
    }))
    const run = (through: number) =>
      call('POST', '/v1/operations', { operations }, { idempotencyKey: 'bulk', through })
    const hurry = await slowDown(sql, 0.05)
    const cut = t.rejects(run(1), 'nobody answers')
    const count = async () =>
      Number(
        (
          await sql<{ n: string }>(`select count(*) as n from transactions
        where type = 'charge' and account_id like 'bulk-%'`)
        )[0]?.n,
      )
    await eventually('a part of it is written', async () => (await count()) >= 40, 10_000)
    await scene.kill(1)
    await cut
    const { body } = await run(0)
    await hurry()
    t.ok(body.outcomes.every(({ status }: Reply) => status === 201))
    const done = body.outcomes.filter((o: { replayed?: boolean }) => o.replayed === true).length
    t.ok(done >= 40 && done < 300, `${done} of 300 had been done before`)
    t.equal(await count(), 300)
    const balances = await Promise.all(accounts.map((id) => balanceOfThrough(0, id)))
    t.ok(balances.every((balance) => balance === 70))
    await scene.start(1)
  })

  await t.test('kill -9 between the debit of a transfer and its credit', async (t) => {
    await open('from', 100)
    await open('to')
    const unlock = await lockRow('to')
    const transfer = { from: 'from', to: 'to', amount: 30 }
    const options = { idempotencyKey: 'transfer', through: 0 }
    const cut = t.rejects(call('POST', '/v1/transfers', transfer, options), 'nobody answers')
    const debited = async () =>
      (await sql(`select 1 from pending_work where account_id = 'from'`)).length === 1
    await eventually('the debit is there', debited, 10_000)
    await scene.kill(0)
    await cut
    t.equal(await balanceOfThrough(1, 'from'), 70)
    await unlock()
    const finished = async () => (await sql('select 1 from pending_work')).length === 0
    // the other service does it, if it comes first
    await Promise.all([scene.start(0), eventually('the credit is there', finished, 20_000)])
    t.equal(await balanceOf('to'), 30)
    const again = await call('POST', '/v1/transfers', transfer, options)
    t.match(again, { status: 201, headers: { 'idempotent-replayed': 'true' } })
    t.same(await rowsOf('to'), [{ type: 'transfer_in' }], 'once')
  })

  await t.test('F12: an operation that raises in the database fails alone', async (t) => {
    await Promise.all([open('poisoned', 100), open('beside', 100)])
    const heal = await raiseOnPoison(sql)
    const charge = (accountId: string, metadata: object) =>
      call('POST', `/v1/accounts/${accountId}/charges`, { amount: 1, metadata })
    const replies = await atOnce(120, async (i): Promise<[boolean, Reply]> => {
      const isBad = i % 20 === 7
      const accountId = i % 2 === 0 ? 'beside' : 'poisoned'
      return [isBad, await charge(accountId, isBad ? { poison: i } : { i })]
    })
    const ofKind = (isBad: boolean) => replies.filter(([bad]) => bad === isBad).map(([, r]) => r)
    t.same(tally(ofKind(true)), { 500: 6 })
    t.same(tally(ofKind(false)), { 201: 114 })
    for (const { body } of ofKind(true)) {
      t.equal(body.code, 'internal')
      t.notMatch(JSON.stringify(body), /e2e_poison|constraint|insert/, 'it tells no secrets')
    }
    await heal()
    t.equal((await charge('poisoned', { poison: 1 })).status, 201)
    t.equal((await balanceOf('poisoned')) + (await balanceOf('beside')), 200 - 115)
  })

  await t.test('in the end the books agree', (t) => assertReconciled(t, ground))
})

type Sql = Parameters<typeof slowDown>[0]

/** How many of the service's statements wait for a lock. */
const waitingFor = async (sql: Sql): Promise<number> => {
  const rows = await sql(
    `select 1 from pg_stat_activity
      where wait_event_type = 'Lock' and application_name like 'creditd%'`,
  )
  return rows.length
}
