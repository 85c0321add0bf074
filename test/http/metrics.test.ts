import Fastify from 'fastify'
import t from 'tap'
import { AppError } from '../../src/errors.js'
import { createMetrics } from '../../src/http/metrics.js'
import type { App } from '../../src/http/route.js'
import { openApp } from '../helpers/app.js'

const MINUTE_MS = 60_000

/** An app whose calls go as they are told, at the time they are told. */
const openCalls = () => {
  const time = { nowMs: 1_000_000 * MINUTE_MS }
  const metrics = createMetrics({ now: () => time.nowMs })
  const app = Fastify() as unknown as App
  app.decorateRequest('failure', null)
  metrics.observe(app)
  const audit = { action: 'charge', record: 'ledger' } as const
  app.get<{ Querystring: { status: string; code?: 'maintenance' } }>(
    '/v1/write',
    { config: { audit } },
    async (request, reply) => {
      const { status, code } = request.query
      if (code) request.failure = new AppError(code, 'stopped')
      return reply.code(Number(status)).send('')
    },
  )
  app.get('/v1/slow', async () => {
    await new Promise((resolve) => setTimeout(resolve, 60))
    return ''
  })
  app.get('/health', async (_request, reply) => reply.code(503).send(''))
  const write = async (status: number, times: number, code = '') => {
    for (let n = 0; n < times; n++) {
      await app.inject({ url: `/v1/write?status=${status}${code && `&code=${code}`}` })
    }
  }
  const value = async (name: string) => {
    const [found] = await metrics.valuesOf(name)
    return found === undefined ? null : Math.round(found * 1e6) / 1e6
  }
  return { app, metrics, time, write, value }
}

t.test(
  'the success rate is of one hour, counts what we failed to do, and is 1 when idle',
  async (t) => {
    const { time, write, value } = openCalls()
    t.equal(await value('transaction_success_rate'), 1)
    await write(201, 6)
    await write(402, 3)
    await write(500, 1)
    t.equal(await value('transaction_success_rate'), 0.9)
    t.equal(await value('transaction_failure_rate'), 0.1)
    await write(503, 10, 'maintenance')
    t.equal(
      await value('transaction_success_rate'),
      0.95,
      'what is stopped on purpose has not failed',
    )
    time.nowMs += 59 * MINUTE_MS
    await write(503, 20)
    t.equal(await value('transaction_success_rate'), 0.475)
    time.nowMs += MINUTE_MS
    t.equal(await value('transaction_success_rate'), 0, 'the first minute is over an hour ago')
    time.nowMs += 60 * MINUTE_MS
    t.equal(await value('transaction_success_rate'), 1, 'idle again')
  },
)

t.test('errors and response time of the API are of five minutes', async (t) => {
  const { app, time, write, value } = openCalls()
  t.equal(await value('api_error_rate'), 0)
  t.equal(await value('api_response_time'), 0)
  await write(500, 1)
  await write(400, 3)
  await app.inject({ url: '/health' })
  t.equal(await value('api_error_rate'), 0.25, 'health is not the API')
  t.ok(Number(await value('api_response_time')) <= 0.05)
  await app.inject({ url: '/v1/slow' })
  await app.inject({ url: '/v1/slow' })
  const seconds = Number(await value('api_response_time'))
  t.ok(seconds > 0.05 && seconds < 5, `${seconds} s: the slowest of a few`)
  time.nowMs += 5 * MINUTE_MS
  t.equal(await value('api_error_rate'), 0)
  t.equal(await value('api_response_time'), 0)
})

t.test('the response time is interpolated within its bucket', async (t) => {
  const { time, metrics } = openCalls()
  const calls: ((request: object, reply: object, done: () => void) => void)[] = []
  const app = { addHook: (_name: string, hook: (typeof calls)[0]) => calls.push(hook) }
  const own = createMetrics({ now: () => time.nowMs })
  own.observe(app as unknown as App)
  const request = { method: 'GET', failure: null, routeOptions: { url: '/v1/x', config: {} } }
  const answer = (elapsedTime: number) => {
    const reply = { elapsedTime, statusCode: 200, getHeader: () => undefined }
    for (const call of calls) call(request, reply, () => {})
  }
  for (let n = 0; n < 90; n++) answer(20)
  for (let n = 0; n < 10; n++) answer(70)
  // the 95th of 100 is half way through the bucket from 50 to 100 ms
  t.equal(Math.round(1e6 * Number(await own.valuesOf('api_response_time'))), 75_000)
  for (let n = 0; n < 100; n++) answer(60_000)
  t.same(await own.valuesOf('api_response_time'), [10], 'no more is known than: longer than that')
  t.same(await metrics.valuesOf('api_response_time'), [0])
})

t.test('figures with labels come and go with what they are of', async (t) => {
  const { metrics } = openCalls()
  let reading: { labels: { role: string }; value: number }[] | Error = []
  metrics.collect([
    {
      name: 'of_roles',
      help: 'x',
      labels: ['role'],
      read: () => {
        if (reading instanceof Error) throw reading
        return reading
      },
    },
  ])
  const shown = async () => (await metrics.render()).match(/^of_roles.*$/gm)
  t.equal(await shown(), null)
  reading = [
    { labels: { role: 'cache' }, value: 1 },
    { labels: { role: 'session' }, value: 2 },
  ]
  t.same(await shown(), ['of_roles{role="cache"} 1', 'of_roles{role="session"} 2'])
  t.same(await metrics.valuesOf('of_roles'), [1, 2])
  reading = reading.slice(0, 1)
  t.same(await shown(), ['of_roles{role="cache"} 1'])
  reading = new Error('away')
  t.equal(await shown(), null, 'and what can not be read is left out')
  t.same(await metrics.valuesOf('no_such'), [])
})

/** What REQUIREMENTS promise a scraper, of the parts that every service has. */
const PROMISED = [
  'http_request_duration_seconds',
  'http_problems_total',
  'nodejs_eventloop_lag_seconds',
  'creditd_pool_shared_connections',
  'creditd_pool_shared_waiting',
  'creditd_pool_ledger_connections',
  'creditd_ledger_lanes',
  'creditd_ledger_lanes_busy',
  'creditd_database_up',
  'ledger_batch_operations',
  'ledger_commit_duration_seconds',
  'credit_balance_mismatches',
  'credit_balance_accuracy',
  'transaction_success_rate',
  'transaction_failure_rate',
  'api_response_time',
  'api_error_rate',
]

t.test('every figure that is promised is there, with help and a value', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 10)
  await call('POST', '/v1/accounts/a/charges', { amount: 50 })
  const { body } = await call('GET', '/metrics')
  for (const name of PROMISED) {
    t.match(body, new RegExp(`^# HELP ${name} \\S`, 'm'))
    t.match(body, new RegExp(`^${name}(_count)?(\\{.*\\})? -?[0-9.e+-]+$`, 'm'), name)
  }
})
