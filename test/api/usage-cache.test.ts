import t from 'tap'
import { openApp, type TestApp } from '../helpers/app.js'
import type { TestContext } from '../helpers/database.js'
import { type RedisServer, startRedis, until } from '../helpers/redis.js'

/** Just enough to be worth keeping. */
const CHARGES = 1_000
const BULK = 500

const setUp = async (t: TestContext) => {
  const redis = await startRedis(t)
  const environment = { REDIS_URL: redis.url }
  const one = await openApp(t, { environment })
  const two = await openApp(t, { environment, url: one.url })
  await one.open('a', 1_000_000)
  await charge(one, CHARGES)
  return { redis, one, two }
}

const charge = async ({ call }: TestApp, count: number) => {
  for (let done = 0; done < count; done += BULK) {
    const operations = Array.from({ length: Math.min(BULK, count - done) }, () => ({
      type: 'charge',
      accountId: 'a',
      amount: 1,
      action: 'x',
    }))
    const { status } = await call('POST', '/v1/operations', { operations })
    if (status !== 200) throw new Error(`not charged: ${status}`)
  }
}

const usageOf = async ({ call }: TestApp, query = '') => {
  const { status, body } = await call('GET', `/v1/accounts/a/usage?groupBy=action${query}`)
  if (status !== 200) throw new Error(`no usage: ${status}`)
  return body.total.charged as number
}

const keysIn = async (redis: RedisServer): Promise<string[]> =>
  (await redis.command('keys', '*:usage:*')) as string[]

const kept = (redis: RedisServer, count: number) =>
  until(async () => {
    const keys = await keysIn(redis)
    if (keys.length !== count) throw new Error(`${keys.length} kept`)
  }, 5_000)

t.test('a report is made once for all processes, and every write is in the next', async (t) => {
  const { redis, one, two } = await setUp(t)
  t.equal(await usageOf(one), CHARGES)
  await kept(redis, 1)
  const [key = ''] = await keysIn(redis)
  t.ok(Number(await redis.command('pttl', key)) > 0, 'and not for ever')
  // to tell what comes from there from what is made anew
  const groups = [{ group: 'x', charged: 77, refunded: 0, count: 1 }]
  await redis.command('set', key, JSON.stringify(groups))
  t.equal(await usageOf(two), 77, 'the other process has it from there')
  for (let n = 1; n <= 5; n++) {
    await charge(n % 2 ? one : two, 1)
    t.equal(await usageOf(two), CHARGES + n, 'own write, or of the other')
    t.equal(await usageOf(one), CHARGES + n)
  }
})

t.test('a period that is over is kept while others write', async (t) => {
  const { redis, one, two } = await setUp(t)
  const { body } = await one.call('GET', '/v1/accounts/a/transactions?limit=1')
  const to = `&to=${body.transactions[0].createdAt}`
  t.equal(await usageOf(one, to), CHARGES)
  await kept(redis, 1)
  await new Promise((resolve) => setTimeout(resolve, 2))
  await charge(two, 1)
  t.equal(await usageOf(two, to), CHARGES)
  t.equal((await keysIn(redis)).length, 1, 'it was not made anew')
  t.equal(await usageOf(two), CHARGES + 1)
})

t.test('a database that was restored is not answered from before', async (t) => {
  const { redis, one } = await setUp(t)
  t.equal(await usageOf(one), CHARGES)
  await kept(redis, 1)
  const [key = ''] = await keysIn(redis)
  await redis.command('set', key, JSON.stringify([]))
  t.equal(await usageOf(one), 0)
  await one.core.db.pool.query('update control set epoch = gen_random_uuid()')
  t.equal(await usageOf(one), CHARGES)
})

t.test('nonsense in the cache, and no cache at all, are as if it were empty', async (t) => {
  const { redis, one } = await setUp(t)
  t.equal(await usageOf(one), CHARGES)
  await kept(redis, 1)
  const [key = ''] = await keysIn(redis)
  for (const text of ['{', 'null', '{}', '[1]', '[{"group":"x","charged":"1"}]']) {
    await redis.command('set', key, text)
    t.equal(await usageOf(one), CHARGES, text)
  }
  await redis.kill()
  t.equal(await usageOf(one), CHARGES)
  await charge(one, 1)
  t.equal(await usageOf(one), CHARGES + 1)
})

t.test('what is small is not kept', async (t) => {
  const redis = await startRedis(t)
  const app = await openApp(t, { environment: { REDIS_URL: redis.url } })
  await app.open('a', 1_000)
  await charge(app, 500)
  t.equal(await usageOf(app), 500)
  t.same(await keysIn(redis), [])
})
