import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pino from 'pino'
import t from 'tap'
import { openApp } from '../helpers/app.js'
import { ROOT } from '../helpers/cluster.js'
import type { TestContext } from '../helpers/database.js'
import { closedPort } from '../helpers/fake-postgres.js'
import { startRedis } from '../helpers/redis.js'
import { temporaryDirectory } from '../helpers/server.js'
import { openReceiver } from './kit.js'

/** `creditd alerts:check` as an operator runs it. */
const check = (
  t: TestContext,
  env: Record<string, string>,
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> => {
  const program = [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'src/cli.ts')]
  const options = { cwd: temporaryDirectory(t), env: { PATH: process.env.PATH, ...env } }
  return new Promise((resolve) => {
    execFile(process.execPath, [...program, 'alerts:check', ...args], options, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })
}

t.test('books that do not agree are told by two running instances once', async (t) => {
  const receiver = await openReceiver(t)
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const environment = { ALERT_WEBHOOK_URL: receiver.url, ALERT_BALANCE_MISMATCHES: '0' }
  const one = await openApp(t, { environment, log })
  const two = await openApp(t, { environment, log, url: one.url })
  const env = { DATABASE_URL: one.url, ...environment }

  const before = await check(t, env, '--json')
  t.equal(before.code, 0)
  t.equal(JSON.parse(before.out).alerts[1].status, 'unknown')
  t.match(before.err, /no running service has looked at credit_balance_mismatch/)

  await one.open('a', 10)
  await one.core.db.pool.query(`update accounts set balance = balance + 1 where id = 'a'`)
  t.ok((await one.call('GET', '/v1/reconcile')).body.mismatches.length > 0)
  await Promise.all([one.core.jobs.start(), two.core.jobs.start()])
  await receiver.waitFor(1)
  t.match(receiver.taken[0], { notice: { name: 'credit_balance_mismatch', status: 'firing' } })

  const during = await check(t, env)
  t.equal(during.code, 1)
  t.match(during.out, /^FIRING +critical +credit_balance_mismatch +\d+, fires above 0 +since /m)
  t.match(during.out, /^quiet +critical +database_unavailable +1, fires below 1$/m)
  const found = JSON.parse((await check(t, env, '--json')).out)
  t.equal(found.ok, false)
  t.match(found.alerts, [{ name: 'database_unavailable', status: 'quiet' }, { status: 'firing' }])

  for (const { call } of [one, two]) {
    const told = /^creditd_alert_firing\{name="credit_balance_mismatch"\} 1$/m
    let metrics = (await call('GET', '/metrics')).body
    for (let tries = 0; tries < 300 && !told.test(metrics); tries++) {
      await sleep(100)
      metrics = (await call('GET', '/metrics')).body
    }
    t.match(metrics, told, 'this instance knows of it, too')
    t.match(metrics, /^creditd_alert_firing\{name="api_latency"\} 0$/m)
  }
  t.equal(receiver.taken.length, 1, 'and one of them has told it')
  t.notMatch(lines.join(''), 'secret-path')
  t.equal(lines.filter((line) => /alert: The last reconciliation/.test(line)).length, 1)
})

t.test(
  'alerts about a Redis that is not configured are not applicable, and no worry',
  async (t) => {
    const { core, url } = await openApp(t)
    const env = { DATABASE_URL: url }
    const about = /^quiet +high +redis_(memory|errors) +-, not applicable$/gm
    const before = await check(t, env)
    t.equal(before.out.match(about)?.length, 2, before.out)
    t.notMatch(before.err, /redis_(memory|errors)/)
    t.match(before.err, 'redis_fallback', 'that is looked at all the same, and was not yet')
    const found = JSON.parse((await check(t, env, '--json')).out).alerts
    const named = (name: string) => found.find((one: { name: string }) => one.name === name)
    t.match(named('redis_errors'), { status: 'quiet', value: null, applies: false })
    t.match(named('redis_fallback'), { status: 'unknown', applies: true })
    const withRedis = await check(t, { ...env, REDIS_URL: 'redis://127.0.0.1:1' })
    t.match(withRedis.err, /redis_errors/, 'with one, somebody ought to have looked')

    const seen = `insert into alerts (name, status, threshold, value, since, evaluated_at)
                values ('redis_errors', 'firing', 0.01, 0.5, now(), now())`
    await core.db.pool.query(seen)
    const during = await check(t, env)
    t.match(during.out, /^FIRING +high +redis_errors +0.5, fires above 0.01 /m, 'what fires does')
  },
)

t.test('a Redis that dies is told', async (t) => {
  const receiver = await openReceiver(t)
  const redis = await startRedis(t)
  const environment = {
    ALERT_WEBHOOK_URL: receiver.url,
    ALERT_FALLBACK_SECONDS: '0',
    REDIS_URL: redis.url,
  }
  const { core, call } = await openApp(t, { environment })
  await redis.kill()
  // whatever asks Redis first finds that it is away
  await call('GET', '/v1/rate-limits', undefined, { key: 'ck_test_nobody' })
  await core.jobs.start()
  await receiver.waitFor(1)
  t.match(receiver.taken[0], {
    notice: { name: 'redis_fallback', status: 'firing', action: 'email_team', value: 1 },
  })
  t.notMatch(JSON.stringify(receiver.taken), redis.url)
})

t.test('alerts:check fails in a line when the database is away', async (t) => {
  const url = `postgres://u:hunter2@127.0.0.1:${await closedPort()}/db?connect_timeout=1`
  const env = { DATABASE_URL: url, DATABASE_WAIT_MS: '0', ALERT_WEBHOOK_URL: 'http://u:pw9@h/x' }
  const { code, out, err } = await check(t, env)
  t.equal(code, 1)
  t.match(out, /^FIRING +critical +database_unavailable/m)
  t.match(err, /^creditd: /m)
  t.notMatch(out + err, /hunter2|pw9| {4}at /)
})
