import { sql } from 'drizzle-orm'
import pino from 'pino'
import t from 'tap'
import type { DatabaseOptions } from '../../src/db/open.js'
import { redactStatement } from '../../src/db/slow-query.js'
import { openApp } from '../helpers/app.js'
import { openFresh, type TestContext } from '../helpers/database.js'

type Line = { statement: string; durationMs: number }

const openWatched = async (t: TestContext, slowQueryMs: number) => {
  const lines: Line[] = []
  const warn = (fields: Line, message: string) => {
    if (message === 'Slow query detected') lines.push(fields)
  }
  const log = { info() {}, error() {}, warn } as unknown as DatabaseOptions['log']
  const db = await openFresh(t, { slowQueryMs, log })
  lines.length = 0
  return { db, lines }
}

t.test('a slow statement is logged with its duration, by every way in', async (t) => {
  const { db, lines } = await openWatched(t, 50)
  await db.pool.query('select pg_sleep($1), 1', [0.06])
  await db.pool.query({ text: 'select pg_sleep($1), 2', values: [0.06], name: 'prepared' })
  await db.orm.execute(sql`select pg_sleep(${0.06}), 3`)
  const client = await db.pool.connect()
  await client.query('select pg_sleep($1), 4', [0.06])
  await new Promise<void>((resolve) => client.query('select pg_sleep(0.06), 5', () => resolve()))
  client.release()
  t.equal(lines.length, 5)
  for (const { statement, durationMs } of lines) {
    t.match(statement, /^select pg_sleep\((\$1|\?)\), \?$/)
    t.ok(durationMs >= 50 && durationMs < 30_000, `${durationMs} ms`)
  }
})

t.test('a slow statement that fails is logged too, and fails as before', async (t) => {
  const { db, lines } = await openWatched(t, 50)
  await t.rejects(db.pool.query(`select 1 / length(pg_sleep($1)::text)`, [0.06]), { code: '22012' })
  t.equal(lines.length, 1)
})

t.test('a quick statement is not logged', async (t) => {
  const { db, lines } = await openWatched(t, 60_000)
  await db.pool.query('select 1')
  t.same(lines, [])
})

t.test('no parameter and no literal is in the log', async (t) => {
  const { db, lines } = await openWatched(t, 0)
  await db.pool.query(`select $1::text, 'hunter2', 4711`, ['correct horse'])
  const text = JSON.stringify(lines)
  t.match(text, /select \$1::text, \?, \?/)
  for (const secret of ['hunter2', '4711', 'correct horse']) t.notMatch(text, secret)
})

const REDACTED: [statement: string, shown: string][] = [
  [`select 'it''s', x from t1 where a = 10.5`, 'select ?, x from t1 where a = ?'],
  [`select E'a\\'b', $1, $12`, 'select ?, $1, $12'],
  ['select $$secret$$, $tag$more secret$tag$', 'select ?, ?'],
  [`select 'unfinished secret`, 'select ?'],
  ['select\n  a,\n  b2', 'select a, b2'],
  [`select "quoted name", '' from s.t`, 'select "quoted name", ? from s.t'],
]

for (const [statement, shown] of REDACTED) {
  t.test(`redacted: ${shown}`, async (t) => {
    t.equal(redactStatement(statement), shown)
  })
}

t.test('a statement of megabytes is cut', async (t) => {
  t.ok(redactStatement(`select ${'column_name, '.repeat(1_000_000)}`).length <= 1_001)
})

t.test('slow statements of the ledger are logged, and no value of theirs', async (t) => {
  const lines: string[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) })
  const { call, open, core, url } = await openApp(t, { log })
  await open('account-with-a-name', 100)
  const trigger = `
    create function dawdle() returns trigger language plpgsql as
    $$ begin perform pg_sleep(0.06); return new; end $$;
    create trigger dawdle before insert on transactions for each row execute function dawdle()`
  await core.db.pool.query(trigger)
  lines.length = 0
  t.equal(
    (await call('POST', '/v1/accounts/account-with-a-name/charges', { amount: 7 })).status,
    201,
  )
  t.same(lines, [], 'below the threshold')
  const slow = await openApp(t, { log, url, environment: { SLOW_QUERY_MS: '50' } })
  lines.length = 0
  t.equal(
    (await slow.call('POST', '/v1/accounts/account-with-a-name/charges', { amount: 7 })).status,
    201,
  )
  const found = lines.filter((line) => line.includes('"msg":"Slow query detected"'))
  t.ok(
    found.some((line) => /"statement":"select .*ledger_append/.test(line)),
    found.join(''),
  )
  t.notMatch(lines.join(''), 'account-with-a-name')
})
