import t from 'tap'
import { freshDatabase, type TestContext } from '../helpers/database.js'
import { startRedis } from '../helpers/redis.js'
import { type ServiceProcess, startService } from '../helpers/server.js'

t.setTimeout(180_000)

type Pair = readonly [ServiceProcess, ServiceProcess]
type Call = (service: ServiceProcess, index: number) => Promise<Response>

const openPair = async (t: TestContext, redisUrl: string): Promise<Pair> => {
  const { url } = await freshDatabase(t)
  const env = { DATABASE_URL: url, REDIS_URL: redisUrl, LOG_LEVEL: 'info' }
  return Promise.all([startService(t, env), startService(t, env)])
}

/** All at once, every other one to the other process; how often each status came. */
const atOnce = async (pair: Pair, count: number, call: Call) => {
  const calls = Array.from({ length: count }, (_, i) => call(pair[i % 2 === 0 ? 0 : 1], i))
  const replies = await Promise.all(calls)
  const seen = new Map<number, number>()
  for (const { status } of replies) seen.set(status, (seen.get(status) ?? 0) + 1)
  return { replies, seen: Object.fromEntries(seen) }
}

const balanceFor =
  (user: string): Call =>
  (service) =>
    service.call('GET', '/v1/accounts/ada/balance', undefined, { 'on-behalf-of': user })

t.test('two processes on one Redis let exactly 100 of 300 at once through', async (t) => {
  const redis = await startRedis(t)
  const pair = await openPair(t, redis.url)
  await pair[0].call('PUT', '/v1/accounts/ada')
  const { seen, replies } = await atOnce(pair, 300, balanceFor('ada'))
  t.same(seen, { 200: 100, 429: 200 })
  for (const reply of replies) t.equal(reply.headers.get('ratelimit-policy'), '"api";q=100;w=60')
  const left = replies.filter(({ status }) => status === 200)
  const remaining = left.map(({ headers }) => Number(headers.get('x-ratelimit-remaining')))
  t.equal(new Set(remaining).size, 100, 'each was told another number')
  t.equal((await balanceFor('bob')(pair[0], 0)).status, 200, 'only that user')

  const checks = await atOnce(pair, 300, (service) =>
    service.call('POST', '/v1/rate-limits/api/check', { identity: 'ada' }),
  )
  t.same(checks.seen, { 200: 300 })
  const bodies = await Promise.all(checks.replies.map((reply) => reply.text()))
  t.equal(bodies.filter((body) => body.includes('"allowed":true')).length, 100)

  const guesses = await atOnce(pair, 20, (service, i) =>
    service.call('GET', '/v1/tiers', undefined, { authorization: `Bearer guess-${i}` }),
  )
  t.same(guesses.seen, { 401: 5, 429: 15 })
  t.equal((await pair[1].call('GET', '/v1/tiers')).status, 200, 'the key is as good as ever')
})

t.test('when Redis goes, no limit opens and nothing fails', async (t) => {
  const redis = await startRedis(t)
  const pair = await openPair(t, redis.url)
  await pair[0].call('PUT', '/v1/accounts/ada')
  t.same((await atOnce(pair, 300, balanceFor('ada'))).seen, { 200: 100, 429: 200 })
  await redis.kill()
  const { seen } = await atOnce(pair, 600, balanceFor('ada'))
  t.same(Object.keys(seen).sort(), ['200', '429'], JSON.stringify(seen))
  t.ok((seen[200] ?? 0) <= 200, 'at most the number itself in each process')
  t.same((await atOnce(pair, 100, balanceFor('ada'))).seen, { 429: 100 })
  const fresh = await atOnce(pair, 400, balanceFor('bob'))
  t.same(fresh.seen, { 200: 200, 429: 200 }, 'each process counts for itself')
})
