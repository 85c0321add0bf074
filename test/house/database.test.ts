import { sql } from 'drizzle-orm'
import t from 'tap'
import { type DatabaseOptions, openDatabase } from '../../src/db/open.js'
import { createReminder } from '../../src/db/reminder.js'
import { DatabaseSetupError } from '../../src/db/setup-error.js'
import { emptyDatabase, quietLog, type TestContext } from '../helpers/database.js'
import { closedPort, greet, listen } from '../helpers/fake-postgres.js'

const open = async (t: TestContext, options: Partial<DatabaseOptions> = {}, query = '') => {
  const { url } = await emptyDatabase(t)
  const db = await openDatabase({ url: `${url}${query}`, log: quietLog, ...options })
  t.teardown(() => db.close())
  return db
}

const failure = async (options: Partial<DatabaseOptions> & { url: string }): Promise<Error> => {
  try {
    await openDatabase({ log: quietLog, connectDeadlineMs: 0, ...options })
  } catch (error) {
    return error as Error
  }
  throw new Error('it opened')
}

t.test('the wait for a database is told of once, and then now and then', async (t) => {
  const lines: unknown[] = []
  const log = { ...quietLog, warn: (...line: unknown[]) => lines.push(line) }
  const url = `postgres://u:p@127.0.0.1:${await closedPort()}/db`
  const startedMs = performance.now()
  t.type(await failure({ url, log, connectDeadlineMs: 1_300 }), DatabaseSetupError)
  t.ok(performance.now() - startedMs > 900, 'it was tried more than once')
  t.equal(lines.length, 1)
  t.match(lines, [[{ reason: /ECONNREFUSED/ }, 'waiting for the database']])
  const isTimeToTell = createReminder(30_000)
  const told = [0, 500, 29_999, 30_000, 30_500, 60_000].map(isTimeToTell)
  t.same(told, [true, false, false, true, false, true])
})

t.test('a bigint is a number, and one too large for that is refused', async (t) => {
  const db = await open(t)
  const { rows } = await db.pool.query('select 9007199254740991::bigint as n, null::bigint as o')
  t.same(rows, [{ n: 9007199254740991, o: null }])
  const drizzled = await db.orm.execute(sql`select 42::bigint as n`)
  t.same(drizzled.rows, [{ n: 42 }])
  await t.rejects(db.pool.query('select 9007199254740993::bigint as n'), { name: 'RangeError' })
})

t.test('schema= in the URL is obeyed, and the setting wins over it', async (t) => {
  const { url } = await emptyDatabase(t)
  const inUrl = await openDatabase({ url: `${url}?schema=one`, log: quietLog })
  const both = await openDatabase({ url: `${url}?schema=one`, schema: 'two', log: quietLog })
  const neither = await openDatabase({ url, log: quietLog })
  t.same([inUrl.schema, both.schema, neither.schema], ['one', 'two', 'public'])
  for (const db of [inUrl, both]) {
    await db.pool.query(`create schema ${db.schema}`)
    await db.pool.query('create table here (n int)')
    const { rows } = await db.pool.query(`select schemaname from pg_tables where tablename = 'here'
      and schemaname = current_schema()`)
    t.same(rows, [{ schemaname: db.schema }])
  }
  await Promise.all([inUrl, both, neither].map((db) => db.close()))
})

t.test('every connection has its limits and its name', async (t) => {
  const db = await open(t, { lockTimeoutMs: 1_234, applicationName: 'creditd test' })
  const setting = async (name: string) => {
    const { rows } = await db.pool.query('select current_setting($1) as value', [name])
    return rows[0]?.value
  }
  t.equal(await setting('statement_timeout'), '10s')
  t.equal(await setting('lock_timeout'), '1234ms')
  t.equal(await setting('idle_in_transaction_session_timeout'), '30s')
  t.equal(await setting('application_name'), 'creditd test')
  const named = await open(t, { applicationName: 'no' }, '?application_name=mine')
  const { rows } = await named.pool.query(`select current_setting('application_name') as value`)
  t.equal(rows[0]?.value, 'mine')
})

t.test('pool sizes: the setting before the URL before the default', async (t) => {
  const size = async (options: Partial<DatabaseOptions>, query = '') =>
    (await open(t, options, query)).pool.options.max
  t.equal(await size({}), 10)
  t.equal(await size({ defaultPoolSize: 20 }), 20)
  t.equal(await size({ defaultPoolSize: 20 }, '?connection_limit=7'), 7)
  t.equal(await size({ poolSize: 3 }, '?connection_limit=7'), 3)
})

t.test('an exhausted pool answers overloaded in time, and serves again after', async (t) => {
  const db = await open(t, { poolSize: 2, poolTimeoutMs: 50 })
  const held = await Promise.all([db.pool.connect(), db.pool.connect()])
  const refused = { name: 'AppError', code: 'overloaded', status: 503 }
  await t.rejects(db.pool.query('select 1'), refused)
  await t.rejects(db.pool.connect(), refused)
  for (const client of held) client.release()
  t.equal((await db.pool.query('select 1')).rowCount, 1)
})

t.test('the queue for connections is bounded', async (t) => {
  const db = await open(t, { poolSize: 1, poolTimeoutMs: 60_000 })
  const held = await db.pool.connect()
  const waiting = Array.from({ length: 1_000 }, () => db.pool.query('select 1'))
  await t.rejects(db.pool.query('select 1'), { code: 'overloaded' }, 'at once')
  held.release()
  t.equal((await Promise.all(waiting)).length, 1_000)
})

t.test('a connection lost while it is checked out does not end the process', async (t) => {
  const lost: unknown[] = []
  const log = { ...quietLog, warn: (...args: unknown[]) => lost.push(args) }
  const db = await open(t, { log: log as unknown as DatabaseOptions['log'] })
  const client = await db.pool.connect()
  const { rows } = await client.query('select pg_backend_pid() as pid')
  const gone = new Promise((resolve) => client.once('end', resolve))
  await db.pool.query('select pg_terminate_backend($1)', [rows[0]?.pid])
  await gone
  await t.rejects(client.query('select 1'))
  client.release()
  t.equal((await db.pool.query('select 1')).rowCount, 1)
  t.match(lost, [[{ reason: /terminating connection/ }, 'a database connection was lost']])
})

t.test('hosts are tried in turn, and a standby is passed over', async (t) => {
  const { url } = await emptyDatabase(t)
  const { port, pathname, username } = new URL(url)
  const standby = await listen(t, greet({ server_version: '17.2', in_hot_standby: 'on' }))
  const hosts = [`127.0.0.1:${await closedPort()}`, `127.0.0.1:${standby}`, `127.0.0.1:${port}`]
  const db = await openDatabase({
    url: `postgres://${username}@${hosts.join(',')}${pathname}`,
    log: quietLog,
  })
  t.teardown(() => db.close())
  t.equal((await db.pool.query('select pg_is_in_recovery() as standby')).rows[0]?.standby, false)
  t.match(db.description, hosts.join(','))
})

t.test('a standby alone is refused, not written to', async (t) => {
  const port = await listen(t, greet({ server_version: '17.2', in_hot_standby: 'on' }))
  const error = await failure({ url: `postgres://u@127.0.0.1:${port}/db` })
  t.ok(error instanceof DatabaseSetupError)
  t.match(error.message, /is a standby/)
})

t.test('a server that is not PostgreSQL 15 or newer is told in one line', async (t) => {
  const servers = {
    'version 14.9': greet({ server_version: '14.9', in_hot_standby: 'off' }),
    'not PostgreSQL': greet({ server_version: '15.0', crdb_version: 'CockroachDB CCL' }),
    'what answers': (socket: import('node:net').Socket) => {
      socket.write('J\0\0\0\n8.0.36\0\b\0\0\0mysql_native_password\0')
    },
  }
  for (const [words, onConnection] of Object.entries(servers)) {
    const port = await listen(t, onConnection)
    const error = await failure({
      url: `postgres://u:hunter2@127.0.0.1:${port}/db?connect_timeout=1`,
      connectDeadlineMs: 0,
    })
    t.ok(error instanceof DatabaseSetupError, words)
    t.match(error.message, words)
    t.match(error.message, /supported are PostgreSQL 15 or newer/)
    t.notMatch(error.message, /\n|hunter2/)
  }
})

t.test('a server that says nothing is given up in time', async (t) => {
  const port = await listen(t, () => {})
  const startedMs = performance.now()
  const error = await failure({ url: `postgres://u@127.0.0.1:${port}/db?connect_timeout=1` })
  t.ok(error instanceof DatabaseSetupError)
  t.ok(performance.now() - startedMs < 5_000)
})

t.test('a wrong database or password fails at once, with the reason', async (t) => {
  const { url } = await emptyDatabase(t)
  const missing = new URL(url)
  missing.pathname = '/not_there'
  const error = await failure({ url: String(missing), connectDeadlineMs: 60_000 })
  t.match(error.message, /^the database at postgres:\/\/.* can not be used: .*not_there/)
})

t.test('a database that is not up yet is waited for', async (t) => {
  const { url } = await emptyDatabase(t)
  const { port, pathname, username, hostname } = new URL(url)
  const { connect } = await import('node:net')
  const { createServer } = await import('node:net')
  const waited: unknown[] = []
  const later = await closedPort()
  const opening = openDatabase({
    url: `postgres://${username}@127.0.0.1:${later}${pathname}`,
    log: { ...quietLog, warn: (fields: unknown) => void waited.push(fields) },
    connectDeadlineMs: 20_000,
  })
  while (waited.length === 0) await new Promise((resolve) => setImmediate(resolve))
  const proxy = createServer((socket) => {
    socket
      .pipe(connect(Number(port), hostname))
      .on('error', () => {})
      .pipe(socket)
    socket.on('error', () => {})
  }).listen(later, '127.0.0.1')
  const db = await opening
  t.equal((await db.pool.query('select 1')).rowCount, 1)
  await db.close()
  proxy.close()
})

t.test('sslmode is obeyed', async (t) => {
  const { url } = await emptyDatabase(t)
  const preferred = await openDatabase({ url: `${url}?sslmode=prefer`, log: quietLog })
  t.equal((await preferred.pool.query('select 1')).rowCount, 1, 'prefer does without')
  await preferred.close()
  for (const mode of ['require', 'verify-ca', 'verify-full']) {
    const error = await failure({ url: `${url}?sslmode=${mode}` })
    t.match(error.message, /SSL/, `${mode} does not`)
  }
  const missing = await failure({ url: `${url}?sslmode=verify-full&sslrootcert=/no/ca.pem` })
  t.match(missing.message, /file of sslrootcert, \/no\/ca\.pem, can not be read/)
})

t.test('parameters without effect are named in the log', async (t) => {
  const warned: unknown[] = []
  const log = { ...quietLog, warn: (fields: unknown) => void warned.push(fields) }
  await open(t, { log }, '?pgbouncer=true&connection_limit=5')
  t.match(warned, [{ parameters: ['pgbouncer'] }])
})

t.test('a statement that takes too long is cut off', async (t) => {
  const db = await open(t, { statementTimeoutMs: 100 })
  await t.rejects(db.pool.query('select pg_sleep(10)'), { code: '57014' })
})

t.test('a reply that never comes is given up, and its connection not used again', async (t) => {
  const port = await listen(t, greet({ server_version: '17.2', in_hot_standby: 'off' }))
  const error = await failure({
    url: `postgres://u@127.0.0.1:${port}/db`,
    statementTimeoutMs: 1,
    connectDeadlineMs: 0,
  })
  t.match(error.message, /Query read timeout/)
})

t.test('closing twice is closing once, and leaves no connection behind', async (t) => {
  const { url } = await emptyDatabase(t)
  const watcher = await openDatabase({ url, log: quietLog, applicationName: 'watcher' })
  const db = await openDatabase({ url, log: quietLog, applicationName: 'closed' })
  await Promise.all([db.pool.query('select 1'), db.pool.query('select 1')])
  await Promise.all([db.close(), db.close()])
  const left = `select 1 from pg_stat_activity where application_name = 'closed'`
  let { rowCount } = await watcher.pool.query(left)
  for (let i = 0; i < 100 && rowCount !== 0; i += 1)
    rowCount = (await watcher.pool.query(left)).rowCount
  t.equal(rowCount, 0)
  await watcher.close()
})
