import t from 'tap'
import { startRedis } from '../helpers/redis.js'
import { openReady } from './kit.js'

const LIMIT = { max: 1, windowMs: 60_000 }

const session = {
  accountId: 'a',
  isGuest: false,
  createdAtMs: Date.now(),
  idleMs: 60_000,
  endsAtMs: Date.now() + 60_000,
}

t.test('two environments on one Redis never see each other', async (t) => {
  const { url, command } = await startRedis(t)
  const prod = await openReady(t, url, { keyPrefix: 'prod:' })
  const dev = await openReady(t, url, { keyPrefix: 'dev:' })
  const id = { tag: 'tag', digest: 'digest' }

  t.equal((await prod.rateLimit.take('key', LIMIT, 1)).isAllowed, true)
  t.equal((await dev.rateLimit.take('key', LIMIT, 1)).isAllowed, true)
  t.equal((await prod.rateLimit.take('key', LIMIT, 1)).isAllowed, false)

  await prod.session.create(id, session)
  t.equal(await dev.session.read(id), null)
  t.equal(await dev.session.revokeAll(id.tag), 0)
  t.ok(await prod.session.read(id))

  await prod.cache.setMany([{ key: 'key', value: 'prod', ttlMs: 60_000 }])
  t.same(await dev.cache.getMany(['key']), [null])
  t.equal(await dev.cache.clear(''), 0)
  t.same(await prod.cache.getMany(['key']), ['prod'])

  await prod.counters.add([{ counter: 'key', by: 5 }])
  await prod.counters.score('key', 'm', 5)
  await prod.counters.mark('key', ['m'])
  t.same(await dev.counters.read(['key']), [0])
  t.same(await dev.counters.top('key', 10), [])
  t.equal(await dev.counters.distinct('key'), 0)

  const keys = (await command('keys', '*')) as string[]
  t.same(
    keys.filter((key) => !/^(prod|dev):/.test(key)),
    [],
  )
  for (const key of keys) t.ok(Number(await command('pttl', key)) > 0, `${key} leaves by itself`)
})

t.test('each role has its own Redis, and one that is away takes no other along', async (t) => {
  const [main, cache, sessions] = [await startRedis(t), await startRedis(t), await startRedis(t)]
  const environment = { REDIS_CACHE_URL: cache.url, REDIS_SESSION_URL: sessions.url }
  const stores = await openReady(t, main.url, { environment })
  await stores.rateLimit.take('key', LIMIT, 1)
  await stores.cache.setMany([{ key: 'key', value: 'x', ttlMs: 60_000 }])
  await stores.session.create({ tag: 'tag', digest: 'digest' }, session)
  t.equal(await main.command('exists', 'test:rl:key'), 1)
  t.equal(await cache.command('exists', 'test:ca:key'), 1)
  t.equal(await sessions.command('exists', 'test:se:{tag}'), 1)
  t.equal(await main.command('exists', 'test:ca:key', 'test:se:{tag}'), 0)

  await cache.kill()
  t.same(await stores.cache.getMany(['key']), [null])
  t.equal(stores.links.cache?.isUp(), false)
  t.equal(stores.links.main?.isUp(), true)
  t.ok(await stores.session.read({ tag: 'tag', digest: 'digest' }))
})

t.test('three that hang at once cost one request less than 50 ms', async (t) => {
  const [main, cache, sessions] = [await startRedis(t), await startRedis(t), await startRedis(t)]
  const environment = { REDIS_CACHE_URL: cache.url, REDIS_SESSION_URL: sessions.url }
  const stores = await openReady(t, main.url, { environment })
  const id = { tag: 'tag', digest: 'digest' }
  await stores.session.create(id, session)
  for (const server of [main, cache, sessions]) server.pause()
  const startedMs = performance.now()
  t.ok(await stores.session.touch(id))
  await stores.rateLimit.take('key', LIMIT, 1)
  await stores.cache.getMany(['a'])
  await stores.cache.setMany([{ key: 'a', value: 'b', ttlMs: 1_000 }])
  await stores.counters.add([{ counter: 'c', by: 1 }])
  const tookMs = performance.now() - startedMs
  t.ok(tookMs < 50, `${tookMs.toFixed(1)} ms`)
  for (const server of [main, cache, sessions]) server.resume()
})
