import t from 'tap'
import { migrateDown, migrateUp } from '../../src/db/migrate.js'
import { openDatabase } from '../../src/db/open.js'
import { borrowIdentity, findBinaries } from '../../src/db/postgres-binaries.js'
import { openPostgres } from '../e2e/kit-postgres.js'
import { openApp } from '../helpers/app.js'
import { findOlderBinaries } from '../helpers/binaries.js'
import { quietLog } from '../helpers/database.js'

const { majorVersion } = findBinaries(borrowIdentity())
const older = findOlderBinaries(majorVersion)
const skip = older === null && `there is no PostgreSQL 15 to ${majorVersion - 1} on this machine`

t.test('an older PostgreSQL is migrated and keeps the books as well', { skip }, async (t) => {
  const postgres = await openPostgres(t, older ?? undefined)
  const { rows } = await postgres.administrate('show server_version')
  t.comment(`PostgreSQL ${rows[0]?.server_version}`)
  t.ok(Number.parseInt(rows[0]?.server_version, 10) < majorVersion)
  const url = await postgres.createDatabase('older')
  const db = await openDatabase({ url, log: quietLog })
  t.teardown(() => db.close())
  const applied = await migrateUp(db)
  t.ok(applied.length > 7)
  t.same(await migrateDown(db, { steps: applied.length }), applied.toReversed())
  t.same(await migrateUp(db), applied)

  const { call, open } = await openApp(t, { url })
  const account = '/v1/accounts/ann'
  const ask = async (status: number, method: string, path: string, body?: object) => {
    const reply = await call(method, path, body)
    t.equal(reply.status, status, `${method} ${path}`)
    return reply.body
  }
  await open('ann', 100)
  await open('bob')
  const { transactionId } = await ask(201, 'POST', `${account}/charges`, { amount: 30 })
  const hold = await ask(201, 'POST', `${account}/holds`, { amount: 50, ttlSeconds: 60 })
  await ask(402, 'POST', `${account}/charges`, { amount: 21 })
  await ask(200, 'POST', `${account}/holds/${hold.holdId}/capture`, { amount: 40 })
  await ask(201, 'POST', `${account}/refunds`, { transactionId, amount: 10 })
  await ask(201, 'POST', '/v1/transfers', { from: 'ann', to: 'bob', amount: 15 })
  await ask(200, 'PUT', '/v1/prices/draw', { formula: 'tokens * 0.001 + 3' })
  await ask(201, 'POST', `${account}/charges`, { action: 'draw', variables: { tokens: 1500 } })
  const many = Array.from({ length: 40 }, () => call('POST', `${account}/charges`, { amount: 1 }))
  const paid = (await Promise.all(many)).filter(({ status }) => status === 201)
  t.equal(paid.length, 20, 'exactly what was left')
  t.match(await ask(200, 'GET', `${account}/balance`), { balance: 0, available: 0, held: 0 })
  const at = '2100-01-01T00:00:00Z'
  t.match(await ask(200, 'GET', `${account}/balance?at=${at}`), { balance: 0 })
  const { transactions } = await ask(200, 'GET', `${account}/transactions?limit=200`)
  t.equal(transactions.length, 27)
  await ask(200, 'GET', `${account}/usage?groupBy=day`)
  await ask(200, 'GET', '/v1/audit-log')
  t.same(await ask(200, 'GET', '/v1/reconcile'), { accounts: 2, mismatches: [] })
})
