import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import { createReader } from '../../src/db/reader.js'
import { openApp, type Reply, type TestApp } from '../helpers/app.js'
import { freshDatabase, openFresh } from '../helpers/database.js'
import { createProxy } from '../helpers/proxy.js'

const WAIT_MS = 10_000

/** Every table that a read of the API looks at. */
const TABLES =
  'accounts, profiles, transactions, grants, holds, api_keys, audit_logs, prices, tiers'

/** An app whose connections go through a wire, and a session beside them. */
const openBehindWire = async (t: Test) => {
  const url = new URL((await freshDatabase(t)).url)
  const outside = new pg.Client(url.href)
  await outside.connect()
  t.teardown(() => outside.end())
  const wire = await createProxy(Number(url.port))
  t.teardown(wire.close)
  url.port = String(wire.port)
  const environment = { DATABASE_POOL_SIZE: '40' }
  const app = await openApp(t, { url: url.href, environment })
  return { app, wire, outside }
}

/** One call of each kind of read; none of them is answered from memory. */
const callAll = (app: TestApp, key: string, transactionId: string): Promise<Reply>[] => {
  const account = '/v1/accounts/ann'
  const paths = [
    account,
    '/v1/accounts?limit=5',
    `${account}/balance`,
    `${account}/balance?at=2100-01-01T00:00:00Z`,
    `${account}/transactions`,
    `${account}/grants`,
    `${account}/holds`,
    `${account}/usage?groupBy=day`,
    `/v1/transactions/${transactionId}`,
    '/v1/prices',
    '/v1/api-keys',
    '/v1/audit-log',
    '/v1/reconcile?accountId=ann',
  ]
  return [
    ...paths.map((path) => app.call('GET', path)),
    app.call('POST', `${account}/charges`, { amount: 1, dryRun: true }),
    // a key that has to be looked up
    app.call('GET', '/v1/tiers', undefined, { key }),
  ]
}

/** The account and its balance, asked for together, are read by one statement. */
const SHARED = 1

/** Waits until as many back ends, beside those known, wait for a lock; gives all that wait. */
const untilWaiting = async (
  outside: pg.Client,
  count: number,
  known: readonly number[] = [],
): Promise<number[]> => {
  const endMs = performance.now() + WAIT_MS
  for (;;) {
    // in a transaction, the first look would be the last
    await outside.query('select pg_stat_clear_snapshot()')
    const { rows } = await outside.query<{ pid: number }>(WAITING)
    const pids = rows.map(({ pid }) => pid)
    const found = pids.filter((pid) => !known.includes(pid)).length
    if (found >= count) return pids
    if (performance.now() > endMs) throw new Error(`${found} statements wait, not ${count}`)
    await sleep(20)
  }
}

const WAITING = `
  select pid from pg_stat_activity
   where datname = current_database() and wait_event_type = 'Lock'`

const TERMINATE = `
  select pg_stat_clear_snapshot();
  select pg_terminate_backend(pid) from pg_stat_activity
   where datname = current_database() and wait_event_type = 'Lock'`

const ways: [how: string, lose: (wire: Awaited<ReturnType<typeof openBehindWire>>) => unknown][] = [
  ['their back ends are ended', ({ outside }) => outside.query(TERMINATE)],
  ['their connections are reset', ({ wire }) => wire.reset()],
  [
    'the database can not be reached for a moment',
    ({ wire }) => {
      wire.set('cut')
      wire.reset()
      setTimeout(() => wire.set('pass'), 250)
    },
  ],
]

for (const [how, lose] of ways) {
  t.test(`reads under way are answered although ${how}`, async (t) => {
    const place = await openBehindWire(t)
    const { app, outside } = place
    await app.open('ann', 10)
    const charged = await app.call('POST', '/v1/accounts/ann/charges', { amount: 1 })
    const made = await app.call('POST', '/v1/api-keys', { name: 'k', scopes: ['admin'] })
    await outside.query(`begin; lock table ${TABLES} in access exclusive mode`)
    const asked = callAll(app, made.body.key, charged.body.transactionId)
    const statements = asked.length - SHARED
    const first = await untilWaiting(outside, statements)
    await lose(place)
    await untilWaiting(outside, statements, first)
    await outside.query('rollback')
    const replies = await Promise.all(asked)
    t.same(
      replies.map(({ status }) => status),
      asked.map(() => 200),
      JSON.stringify(replies.filter(({ status }) => status !== 200).map(({ body }) => body)),
    )
  })
}

t.test('a read that meets a conflict is done again', async (t) => {
  const { pool } = await openFresh(t)
  const reader = createReader(pool, { deadlineMs: 5_000 })
  for (const state of ['40001', '40P01', '55P03', '57P03', '53300']) {
    // a sequence remembers what a rollback forgets
    await pool.query(`
      create sequence tries;
      create function once_in_vain() returns bigint language plpgsql as $$ declare n bigint;
      begin
        n := nextval('tries');
        if n = 1 then raise 'in vain' using errcode = '${state}'; end if;
        return n;
      end $$`)
    const { rows } = await reader.query({ text: 'select once_in_vain() as tries' })
    t.same(rows, [{ tries: 2 }], state)
    await pool.query('drop function once_in_vain; drop sequence tries')
  }
  await t.rejects(reader.query({ text: 'select 1 / 0' }), { code: '22012' })
})

t.test('a reader refuses what writes, before it is sent', async (t) => {
  const { pool, readOrm } = await openFresh(t)
  const reader = createReader(pool, { deadlineMs: 5_000 })
  for (const text of [
    'delete from tiers',
    `insert into tiers (id, level) values ('x', 1)`,
    'with gone as (delete from tiers returning id) select id from gone',
    'with new as (update "tiers" set level = 1 returning id) select id from new',
    'select id from tiers for update',
    'truncate tiers',
  ]) {
    await t.rejects(reader.query({ text }), { message: /a reader was given a statement/ }, text)
  }
  await t.rejects(readOrm.execute('truncate tiers'))
})

t.test('while the database is away, reads do not pile up', async (t) => {
  const lost = Object.assign(new Error('gone'), { code: 'ECONNREFUSED' })
  const wake: (() => void)[] = []
  const reader = createReader(
    { query: () => Promise.reject(lost) },
    {
      deadlineMs: 1_000,
      maxWaiting: 2,
      now: () => 0,
      sleep: () => new Promise<void>((resolve) => wake.push(resolve)),
    },
  )
  const outcomes: string[] = []
  const ask = (name: string) =>
    reader.query({ text: 'select 1' }).catch((error: Error) => outcomes.push(name + error.message))
  const asked = ['a ', 'b ', 'c ', 'd '].map(ask)
  await Promise.all(asked.slice(2))
  t.same(outcomes, ['c gone', 'd gone'], 'two wait, the others are told at once')
  t.equal(wake.length, 2)
})
