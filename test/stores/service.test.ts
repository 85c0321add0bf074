import { createServer } from 'node:net'
import pino from 'pino'
import t from 'tap'
import { openApp } from '../helpers/app.js'
import { startRedis, until } from '../helpers/redis.js'

const SECRET = 'a-password-that-nobody-may-see'

/** The lines that the service logs. */
const collectLog = () => {
  const lines: string[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) })
  return { log, lines, about: (text: string) => lines.filter((line) => line.includes(text)) }
}

t.test('without Redis the service says so once, and is well', async (t) => {
  const { log, about } = collectLog()
  const { call } = await openApp(t, { log })
  t.equal(about('Redis not configured').length, 1)
  const { status, body } = await call('GET', '/health/redis', undefined, { key: null })
  t.equal(status, 200)
  t.match(body, { status: 'not_configured', configured: false, connected: false, memory: null })
  t.match((await call('GET', '/health/ready')).body, { status: 'ok' })
  t.notOk('redis' in (await call('GET', '/health/ready')).body.checks)
})

t.test('with a URL of no use it starts, serves from memory, and tells which one', async (t) => {
  const { log, lines, about } = collectLog()
  const environment = { REDIS_URL: `redis//:${SECRET}@h`, RATE_LIMIT_API: '2/1m' }
  const { call, open } = await openApp(t, { log, environment })
  t.equal(about('Redis is away (REDIS_URL): its URL must be redis://').length, 1)
  const ready = await call('GET', '/health/ready', undefined, { key: null })
  t.match(ready, { status: 200, body: { status: 'degraded', checks: { redis: {} } } })
  const { body } = await call('GET', '/health/redis', undefined, { key: null })
  t.match(body, { status: 'degraded', configured: true, connected: false })
  for (const role of ['main', 'cache', 'session']) {
    t.match(body.roles[role], { variable: 'REDIS_URL', reason: /^its URL must be / })
  }
  const { body: metrics } = await call('GET', '/metrics')
  t.match(metrics, /^creditd_redis_up\{role="main"\} 0$/m)
  await open('ada', 10)
  t.equal((await call('POST', '/v1/accounts/ada/charges', { amount: 1 })).status, 201)
  const key = (await call('POST', '/v1/sessions', { accountId: 'ada' })).body.token
  const balance = () => call('GET', '/v1/accounts/ada/balance', undefined, { key })
  t.same([(await balance()).status, (await balance()).status], [200, 200])
  t.equal((await balance()).status, 429, 'and limits hold')
  t.notMatch(lines.join('') + JSON.stringify([ready.body, body]) + metrics, SECRET)
})

t.test('with Redis, health tells what it knows, at both addresses', async (t) => {
  const { url } = await startRedis(t, ['--requirepass', SECRET])
  const environment = { REDIS_URL: url.replace('127.0.0.1', `:${SECRET}@127.0.0.1`) }
  const { call } = await openApp(t, { environment })
  for (const path of ['/health/redis', '/api/health/redis']) {
    const { body } = await call('GET', path, undefined, { key: null })
    t.match(body, { status: 'ok', configured: true, connected: true, errorRate: 0 })
    for (const role of ['main', 'cache', 'session']) {
      t.match(body.roles[role], { connected: true, variable: 'REDIS_URL', reason: null })
      t.ok(body.roles[role].latencyMs >= 0)
    }
    t.ok(body.memory.usedBytes > 0)
    t.equal(body.evictions, 0)
    t.notMatch(JSON.stringify(body), SECRET)
  }
  t.match((await call('GET', '/health/ready')).body, { checks: { redis: { status: 'ok' } } })
  const { body: metrics } = await call('GET', '/metrics')
  t.match(metrics, /^creditd_redis_up\{role="session"\} 1$/m)
  t.match(metrics, /^creditd_store_fallback\{store="rate_limit"\} 0$/m)
  t.match(metrics, /^creditd_redis_memory_ratio 0\.\d+$/m)
  t.notMatch(metrics, SECRET)
})

t.test('a look at the metrics asks Redis once how it is, and nothing else', async (t) => {
  const { url, command } = await startRedis(t)
  const { call } = await openApp(t, { environment: { REDIS_URL: url } })
  await command('config', 'resetstat')
  const { body } = await call('GET', '/metrics')
  t.match(body, /^creditd_redis_memory_ratio 0\.\d+$/m)
  const stats = String(await command('info', 'commandstats'))
  // one for the scrape, and one of the connection that asks for this
  t.match(stats, /^cmdstat_info:calls=2,/m)
  t.notMatch(stats, 'cmdstat_hgetall')
})

t.test('a Redis that goes away degrades the service and stops nothing', async (t) => {
  const server = await startRedis(t)
  const { log, about } = collectLog()
  const { call, open } = await openApp(t, { environment: { REDIS_URL: server.url }, log })
  await server.kill()
  await open('a', 100)
  t.equal((await call('POST', '/v1/accounts/a/charges', { amount: 1 })).status, 201)
  const startedMs = performance.now()
  const { status, body } = await call('GET', '/health/redis', undefined, { key: null })
  t.ok(performance.now() - startedMs < 2_000)
  t.equal(status, 200)
  t.match(body, { status: 'degraded', connected: false })
  t.match(body.roles.main, { connected: false, reason: /connection|listens/ })
  const ready = await call('GET', '/health/ready')
  t.equal(ready.status, 200)
  t.match(ready.body, { status: 'degraded', checks: { redis: { status: 'failed' } } })
  t.match((await call('GET', '/metrics')).body, /^creditd_store_fallback\{store="session"\} 1$/m)
  t.equal(about('Redis is away').length, 1, 'one line says so')

  await server.start()
  await until(async () => {
    const { body } = await call('GET', '/health/ready')
    if (body.status !== 'ok') throw new Error('still degraded')
  })
  t.match((await call('GET', '/metrics')).body, /^creditd_redis_up\{role="main"\} 1$/m)
})

type Wrong = { readonly name: string; readonly reason: RegExp; start(): Promise<string> }

const WRONG: readonly Wrong[] = [
  {
    name: 'that is not there',
    reason: /nothing listens/,
    start: async () => 'redis://127.0.0.1:1',
  },
  {
    name: 'with the wrong password',
    reason: /password/,
    async start() {
      const { url } = await startRedis(t, ['--requirepass', 'right'])
      return url.replace('127.0.0.1', `user:${SECRET}@127.0.0.1`)
    },
  },
  {
    name: 'that is something else',
    reason: /not Redis|in time/,
    async start() {
      const server = createServer((socket) => {
        socket.on('error', () => {})
        socket.on('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      t.teardown(() => server.close())
      const address = server.address()
      return `redis://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
    },
  },
]

for (const { name, reason, start } of WRONG) {
  t.test(`a Redis ${name}: one clear line, and the service is degraded, not down`, async (t) => {
    const REDIS_URL = await start()
    const { log, lines, about } = collectLog()
    const { call, open } = await openApp(t, { environment: { REDIS_URL }, log })
    await open('a', 10)
    await new Promise((resolve) => setTimeout(resolve, 1_200))
    const told = about('Redis is away')
    t.equal(told.length, 1, told.join('\n'))
    t.match(told[0], reason)
    t.match(told[0], /REDIS_URL/)
    t.match((await call('GET', '/health/ready')).body, { status: 'degraded' })
    const { body } = await call('GET', '/health/redis')
    t.match(body.roles.main.reason, reason)
    t.notMatch(lines.join('') + JSON.stringify(body), SECRET)
  })
}
