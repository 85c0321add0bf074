import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createAuditWriter } from '../../src/admin/audit-writer.js'
import { createHealth } from '../../src/health/service.js'
import type { AuditEntry } from '../../src/http/audit.js'
import { createRedisReports } from '../../src/stores/redis-health.js'
import { ADMIN_KEY, openApp } from '../helpers/app.js'
import { openFresh } from '../helpers/database.js'

const withoutRedis = createRedisReports({
  links: { main: null, cache: null, session: null },
  keyPrefix: 'test:',
  budget: { commandsPerMonth: 1, bytes: 1 },
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
})

t.test('readiness tells what is amiss, and never hangs', async (t) => {
  let isStopping = false
  const probes = { vital: async () => {}, other: async () => {} }
  const health = createHealth({
    checks: [
      { name: 'vital', isVital: true, probe: () => probes.vital() },
      { name: 'other', isVital: false, probe: () => probes.other() },
    ],
    redis: withoutRedis,
    version: '1.2.3',
    rollbackMode: true,
    isStopping: () => isStopping,
    monotonicMs: () => performance.now(),
  })
  t.match(await health.ready(), { status: 'ok', version: '1.2.3' })
  probes.other = () => Promise.reject(new Error('away'))
  t.match(await health.ready(), {
    status: 'degraded',
    checks: { vital: { status: 'ok' }, other: { status: 'failed' } },
  })
  probes.vital = () => new Promise(() => {})
  const startedMs = performance.now()
  t.match(await health.ready(), { status: 'unavailable' })
  t.ok(performance.now() - startedMs < 3_000, 'answered within its limit')
  probes.vital = () => {
    throw new Error('at once')
  }
  t.match(await health.ready(), { status: 'unavailable' })
  isStopping = true
  t.match(await health.ready(), { status: 'stopping' })
  t.same(health.live(), { status: 'ok', version: '1.2.3', rollbackMode: true })
})

t.test('health over HTTP shows no secret and asks for no credential', async (t) => {
  const { call, url } = await openApp(t)
  const ready = await call('GET', '/health/ready', undefined, { key: null })
  t.match(ready, { status: 200, body: { status: 'ok', checks: { database: { status: 'ok' } } } })
  t.notMatch(JSON.stringify(ready.body), new URL(url).host)
  t.equal(ready.headers['cache-control'], 'no-store')
})

t.test('metrics count requests by route and status, and batches of the ledger', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 10)
  await call('POST', '/v1/accounts/a/charges', { amount: 5 })
  await call('POST', '/v1/accounts/a/charges', { amount: 50 })
  await call('GET', '/v1/nothing/at/all')
  const { status, headers, body } = await call('GET', '/metrics')
  t.equal(status, 200)
  t.match(headers['content-type'], /^text\/plain; version=/)
  const value = (line: string) =>
    Number(new RegExp(`^${line.replace(/[{}[\]/.]/g, '\\$&')} (\\S+)$`, 'm').exec(body)?.[1])
  const charges = 'method="POST",route="/v1/accounts/:accountId/charges"'
  t.equal(value(`http_request_duration_seconds_count{${charges},status_code="201"}`), 1)
  t.equal(value(`http_request_duration_seconds_count{${charges},status_code="402"}`), 1)
  const unmatched = 'method="GET",route="unmatched",status_code="404"'
  t.equal(value(`http_request_duration_seconds_count{${unmatched}}`), 1)
  const problem = 'route="/v1/accounts/:accountId/charges",code="insufficient_credits"'
  t.equal(value(`http_problems_total{${problem}}`), 1)
  t.ok(value('ledger_batch_operations_count') >= 3)
  t.ok(value('ledger_commit_duration_seconds_count') >= 3)
  t.equal(value('transaction_success_rate'), 1)
  t.equal(value('credit_balance_mismatches'), 0)
  t.match(body, /nodejs_eventloop_lag_seconds/)
  t.notMatch(body, /user-|accountId="/)
})

t.test('a mismatch that reconcile finds is shown and measured', async (t) => {
  const { call, core, open } = await openApp(t)
  await open('a', 10)
  await open('b', 10)
  t.same((await call('GET', '/v1/reconcile')).body, { accounts: 2, mismatches: [] })
  await core.db.pool.query(`update accounts set balance = balance + 1 where id = 'a'`)
  const { body } = await call('GET', '/v1/reconcile')
  t.equal(body.accounts, 2)
  t.ok(body.mismatches.length > 0)
  t.match(body.mismatches[0], { accountId: 'a', check: String, expected: '10', actual: '11' })
  t.equal((await call('GET', '/v1/reconcile?accountId=b')).body.mismatches.length, 0)
  t.ok((await call('GET', '/v1/reconcile?accountId=a')).body.mismatches.length > 0)
  t.same((await call('GET', '/v1/reconcile?accountId=none')).body, { accounts: 0, mismatches: [] })
  const metrics = (await call('GET', '/metrics')).body
  t.match(metrics, new RegExp(`^credit_balance_mismatches ${body.mismatches.length}$`, 'm'))
  t.match(metrics, /^credit_balance_accuracy 0\.5$/m, 'one of two accounts')
})

t.test('what one instance reconciled is told by every instance', async (t) => {
  const one = await openApp(t)
  const two = await openApp(t, { url: one.url })
  const { pool } = one.core.db
  await one.open('a', 10)
  const told = async () =>
    /^credit_balance_mismatches (.*)$/m.exec((await two.call('GET', '/metrics')).body)?.[1]
  t.equal(await told(), '0', 'before any')
  await pool.query(`update accounts set balance = balance + 1 where id = 'a'`)
  // a slot that was missed is caught up at the start
  await pool.query(
    `insert into job_runs (name, slot, started_at)
     values ('ledger.reconcile', now() - interval '2 hours', now())`,
  )
  await one.core.jobs.start()
  await one.core.jobs.stop()
  t.ok(Number(await told()) > 0, 'what the job found')
  await pool.query(`update accounts set balance = balance - 1 where id = 'a'`)
  t.same((await one.call('GET', '/v1/reconcile')).body.mismatches, [])
  t.equal(await told(), '0', 'what was found on demand')
  await pool.query(
    `insert into job_runs (name, slot, started_at, outcome)
     values ('ledger.reconcile', now() + interval '1 hour', now(), 'failed: too long')`,
  )
  t.equal(await told(), '0', 'a run that failed found nothing')
})

t.test('the age of the oldest unfinished work is measured', async (t) => {
  const { call, core, open } = await openApp(t)
  await open('a')
  const { pool } = core.db
  const told = async () => {
    const { status, body } = await call('GET', '/metrics')
    t.equal(status, 200)
    return /^creditd_pending_work_oldest_seconds (.*)$/m.exec(body)?.[1]
  }
  t.equal(await told(), '0')
  await pool.query(
    `insert into pending_work (account_id, id, kind, payload, created_at, next_attempt_at)
     select 'a', 'p' || n, 'none', '{}', now() - n * interval '1 minute', now()
       from unnest(array[1, 5]) n`,
  )
  const seconds = Number(await told())
  t.ok(seconds >= 300 && seconds < 400, `${seconds} s`)
  await pool.query('alter table pending_work rename to gone')
  t.equal(await told(), undefined, 'what can not be read is left out')
})

t.test('the audit log waits for a database that is away, within bounds', async (t) => {
  const db = await openFresh(t)
  let ids = 0
  const troubles: unknown[] = []
  const writer = createAuditWriter({
    orm: db.orm,
    newId: () => `id-${ids++}`,
    now: () => Date.UTC(2026, 0, 1),
    onTrouble: (trouble) => troubles.push(trouble),
  })
  const entry = (action: string): AuditEntry => ({
    accountId: null,
    action,
    status: 'failed',
    actor: 'key:k',
    requestId: 'r',
    errorCode: 'forbidden',
    errorMessage: 'no',
    metadata: null,
  })
  const count = async () =>
    (await db.pool.query('select count(*)::int as n from audit_logs')).rows[0].n
  await db.pool.query('alter table audit_logs rename to gone')
  writer.record(entry('first'))
  await t.rejects(writer.flush())
  t.equal(writer.stats().waiting, 1)
  await db.pool.query('alter table gone rename to audit_logs')
  await writer.flush()
  t.equal(await count(), 1)
  t.same(writer.stats(), { waiting: 0, lost: 0 })

  for (let n = 0; n < 450; n++) writer.record(entry('burst'))
  await writer.close()
  t.equal(await count(), 451)

  writer.record(entry('soon'))
  for (let n = 0; n < 100 && (await count()) < 452; n++) await sleep(20)
  t.equal(await count(), 452, 'written by itself')

  await db.pool.query('alter table audit_logs rename to gone')
  for (let n = 0; n < 10_005; n++) writer.record(entry('flood'))
  t.same(writer.stats(), { waiting: 10_000, lost: 5 })
  t.same(troubles, [{ lost: 1 }])
  await writer.close()
})

t.test('replies are the same when they are written fast as when they are checked', async (t) => {
  const strict = await openApp(t)
  const fast = await openApp(t, { url: strict.url, environment: { NODE_ENV: 'production' } })
  await strict.open('a', 100)
  const metadata = JSON.parse('{"__proto__":{"a":1},"n":null,"l":[1.5,"é😀\\u2028"]}')
  const body = { amount: 5, metadata }
  const { body: charge } = await strict.call('POST', '/v1/accounts/a/charges', body)
  await strict.call('POST', '/v1/accounts/a/holds', { amount: 5, ttlSeconds: 60 })
  await strict.call('PUT', '/v1/prices/p', { cost: 1 })
  const paths = [
    '/v1/accounts/a',
    '/v1/accounts',
    '/v1/accounts/a/balance',
    '/v1/accounts/a/transactions',
    '/v1/accounts/a/grants',
    '/v1/accounts/a/holds',
    '/v1/accounts/a/usage',
    '/v1/accounts/a/access?action=p',
    `/v1/transactions/${charge.transactionId}`,
    '/v1/prices',
    '/v1/tiers',
    '/v1/audit-log?accountId=a',
    '/v1/reconcile',
  ]
  for (const path of paths) {
    const one = await strict.app.inject({ url: path, headers })
    const two = await fast.app.inject({ url: path, headers })
    t.equal(two.statusCode, 200, path)
    t.same(two.json(), one.json(), path)
    t.equal(/__proto__/.test(two.body), /__proto__/.test(one.body), path)
  }
  const operations = [{ type: 'charge', accountId: 'a', ...body }, { type: 'x' }]
  const bulk = await fast.call('POST', '/v1/operations', { operations })
  t.match(bulk.body.outcomes, [
    { status: 201, amount: -5, grants: [{ amount: 5 }] },
    { status: 400 },
  ])
})

const headers = { authorization: `Bearer ${ADMIN_KEY}` }
