import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { OpenStores } from '../../src/stores/open.js'
import { SessionsAwayError } from '../../src/stores/session/store.js'
import type { TestContext } from '../helpers/database.js'
import { createProxy, type Wire } from '../helpers/proxy.js'
import { startRedis, startRedisCluster } from '../helpers/redis.js'
import {
  createRevocations,
  freshName,
  idOf,
  isBack,
  monotonicMs,
  openReady,
  sessionOf,
} from './kit.js'

/** What a request may spend on Redis, and a machine that is busy with other tests. */
const MAX_CALL_MS = 50
const MAX_RETURN_MS = 5_000
const LIMIT = { max: 5, windowMs: 600_000 }

/** Everything a request may ask of the stores; the longest any one of them took, in ms. */
const useAll = async (stores: OpenStores, known: ReturnType<typeof idOf>): Promise<number> => {
  const calls: (() => Promise<unknown>)[] = [
    () => stores.session.touch(known),
    () => stores.rateLimit.take(freshName(), LIMIT, 1),
    () => stores.rateLimit.peek(freshName(), LIMIT),
    () => stores.cache.getMany(['a', 'b']),
    () => stores.cache.setMany([{ key: 'a', value: 'b', ttlMs: 1_000 }]),
    () => stores.counters.add([{ counter: 'c', by: 1 }]),
    () => stores.session.create(idOf(), sessionOf()),
  ]
  let longestMs = 0
  for (const call of calls) {
    const startedMs = monotonicMs()
    await call()
    longestMs = Math.max(longestMs, monotonicMs() - startedMs)
  }
  return longestMs
}

type Fault = {
  readonly name: string
  /** Gives the address, what breaks it, and what mends it. */
  start(t: TestContext): Promise<{
    readonly url: string
    readonly fail: () => unknown
    readonly mend: () => unknown
  }>
}

const FAULTS: readonly Fault[] = [
  {
    name: 'killed',
    async start(t) {
      const { url, kill, start } = await startRedis(t)
      return { url, fail: kill, mend: start }
    },
  },
  {
    name: 'stopped',
    async start(t) {
      const { url, pause, resume } = await startRedis(t)
      return { url, fail: pause, mend: resume }
    },
  },
  {
    name: 'read-only',
    async start(t) {
      const { url, command } = await startRedis(t)
      return {
        url,
        fail: () => command('replicaof', '127.0.0.1', 1),
        mend: () => command('replicaof', 'no', 'one'),
      }
    },
  },
  {
    name: 'full',
    async start(t) {
      const { url, command } = await startRedis(t)
      return {
        url,
        fail: () => command('config', 'set', 'maxmemory', '1'),
        mend: () => command('config', 'set', 'maxmemory', '0'),
      }
    },
  },
  {
    name: 'closed to its password',
    async start(t) {
      const { url, port } = await startRedis(t, ['--requirepass', 'right'])
      return {
        url: url.replace('127.0.0.1', ':right@127.0.0.1'),
        fail: () => asUser(port, 'right', ['config', 'set', 'requirepass', 'other'], true),
        mend: () => asUser(port, 'other', ['config', 'set', 'requirepass', 'right'], false),
      }
    },
  },
  ...(['late', 'hole', 'mute', 'cut'] as const).map(
    (mode): Fault => ({
      name: `behind a wire that is ${mode}`,
      async start(t) {
        const { port } = await startRedis(t)
        const wire = await createProxy(port)
        t.teardown(wire.close)
        return {
          url: `redis://127.0.0.1:${wire.port}`,
          fail: () => {
            wire.set(mode)
            if (mode === 'cut') wire.reset()
          },
          mend: () => wire.set('pass'),
        }
      },
    }),
  ),
  {
    name: 'a cluster whose one master is stopped',
    async start(t) {
      const { url, servers } = await startRedisCluster(t)
      return { url, fail: () => servers[1]?.pause(), mend: () => servers[1]?.resume() }
    },
  },
]

const asUser = async (
  port: number,
  password: string,
  [name = '', ...args]: readonly string[],
  dropsOthers: boolean,
): Promise<void> => {
  const { Redis } = await import('ioredis')
  const client = new Redis({ port, password, protocol: 2 })
  await client.call(name, ...args)
  // connections that have shown the old password would stay
  if (dropsOthers) await client.call('client', 'kill', 'type', 'normal', 'skipme', 'yes')
  client.disconnect()
}

for (const { name, start } of FAULTS) {
  t.test(`a Redis that is ${name}: no call is long or fails, and all returns`, async (t) => {
    const { url, fail, mend } = await start(t)
    const stores = await openReady(t, url)
    const known = idOf()
    await stores.session.create(known, sessionOf())
    const key = freshName()
    for (let i = 0; i < 3; i += 1) await stores.rateLimit.take(key, LIMIT, 1)

    await fail()
    const times: number[] = []
    for (let i = 0; i < 40; i += 1) {
      times.push(await useAll(stores, known))
      await sleep(25)
    }
    const longestMs = Math.max(...times)
    t.ok(longestMs <= MAX_CALL_MS, `the longest call took ${longestMs.toFixed(1)} ms`)
    t.ok(times.filter((ms) => ms > 10).length <= 4, 'few calls pay for it at all')
    t.equal(stores.links.main?.isUp(), false, 'it counts as away')

    const states = []
    for (let i = 0; i < 6; i += 1) states.push(await stores.rateLimit.take(key, LIMIT, 1))
    const allowed = states.filter(({ isAllowed }) => isAllowed).length
    t.equal(allowed, 2, 'the limit stays: three of five were taken before')

    await mend()
    const backMs = await isBack(stores)
    t.ok(backMs <= MAX_RETURN_MS, `back after ${backMs.toFixed(0)} ms`)
    t.ok(await stores.session.touch(known), 'the session has lived through it')
    t.equal((await stores.rateLimit.take(key, LIMIT, 1)).isAllowed, false, 'the limit too')
  })
}

const MAX_TRIES = 3

const useWhileFlapping = async (stores: OpenStores, known: ReturnType<typeof idOf>, wire: Wire) => {
  let isStopped = false
  const flapping = (async () => {
    while (!isStopped) {
      wire.set('hole')
      await sleep(700)
      wire.set('pass')
      await sleep(700)
    }
  })()
  const times: number[] = []
  for (const endMs = monotonicMs() + 10_000; monotonicMs() < endMs; ) {
    times.push(await useAll(stores, known))
    await sleep(10)
  }
  isStopped = true
  await flapping
  const paid = times.filter((ms) => ms > 12).length
  return { longestMs: Math.max(...times), paid, rounds: times.length }
}

t.test('a Redis that comes and goes is not paid for again and again', async (t) => {
  const { port } = await startRedis(t)
  const wire = await createProxy(port)
  t.teardown(wire.close)
  const stores = await openReady(t, `redis://127.0.0.1:${wire.port}`)
  const known = idOf()
  await stores.session.create(known, sessionOf())
  let seen = await useWhileFlapping(stores, known, wire)
  // a machine that is busy with other things stops everybody for longer than that, now and then
  for (let tries = 1; tries < MAX_TRIES && seen.longestMs > MAX_CALL_MS; tries += 1) {
    seen = await useWhileFlapping(stores, known, wire)
  }
  t.ok(seen.longestMs <= MAX_CALL_MS, `the longest call took ${seen.longestMs.toFixed(1)} ms`)
  t.ok(seen.paid <= 12, `${seen.paid} of ${seen.rounds} rounds paid for it`)
  t.ok(await stores.session.touch(known))
})

t.test('sessions made and revoked meanwhile are so for all when Redis returns', async (t) => {
  const server = await startRedis(t)
  const revocations = createRevocations()
  const one = await openReady(t, server.url, { revocations })
  const other = await openReady(t, server.url, { revocations })
  const [kept, revoked, unseen, tag] = [idOf(), idOf(), idOf(), freshName()]
  const ofTag = [idOf(tag), idOf(tag)]
  for (const id of [kept, revoked, ...ofTag]) {
    await one.session.create(id, sessionOf())
    await other.session.touch(id)
  }
  await other.session.create(unseen, sessionOf())

  server.pause()
  const made = idOf()
  await one.session.create(made, sessionOf())
  t.ok(await one.session.touch(made), 'made here, it is live here')
  await t.rejects(one.session.touch(unseen), SessionsAwayError, 'this one nobody here has seen')
  t.equal(await one.session.revoke(revoked), true)
  t.equal(await one.session.revokeAll(tag), 2)
  t.equal(await one.session.touch(revoked), null)
  await other.rateLimit.peek('x', LIMIT)
  t.equal(await other.session.touch(revoked), null, 'the other process knows, though it saw it')
  for (const id of ofTag) t.equal(await other.session.read(id), null)
  t.ok(await other.session.touch(kept))

  server.resume()
  await Promise.all([isBack(one), isBack(other)])
  const third = await openReady(t, server.url, { revocations })
  t.ok(await third.session.read(made), 'what was made meanwhile is everybody’s')
  t.ok(await third.session.read(kept))
  for (const stores of [one, other, third]) {
    for (const id of [revoked, ...ofTag]) t.equal(await stores.session.touch(id), null)
  }
})

t.test('a process that can not reach Redis revokes for those that can', async (t) => {
  const server = await startRedis(t)
  const wire = await createProxy(server.port)
  t.teardown(wire.close)
  const revocations = createRevocations()
  const cutOff = await openReady(t, `redis://127.0.0.1:${wire.port}`, { revocations })
  const other = await openReady(t, server.url, { revocations })
  const id = idOf()
  await cutOff.session.create(id, sessionOf())
  wire.set('cut')
  wire.reset()
  await cutOff.session.revoke(id)
  const deadlineMs = monotonicMs() + 5_000
  while ((await other.session.read(id)) !== null && monotonicMs() < deadlineMs) await sleep(50)
  t.equal(await other.session.read(id), null)
})

t.test('sessions that clocks apart begin and end live, or stay ended, as they were', async (t) => {
  const server = await startRedis(t)
  const revocations = createRevocations()
  const late = { revocations, nowMs: () => Date.now() - 300 }
  const one = await openReady(t, server.url, { revocations })
  const two = await openReady(t, server.url, late)
  const three = await openReady(t, server.url, late)
  const lateSession = () => ({ ...sessionOf(), createdAtMs: Date.now() - 300 })
  const tag = freshName()
  await one.session.revokeAll(tag)
  const ids = [idOf(tag), idOf(tag)] as const
  for (const id of ids) await two.session.create(id, lateSession())
  t.ok(await two.session.touch(ids[0]))
  await server.command('flushall')
  t.ok(await two.session.touch(ids[0]), 'it is put back, for it began later')
  t.equal(await three.session.revokeAll(tag), 1, 'a late clock ends what a later one has begun')
  for (const id of ids) t.equal(await two.session.touch(id), null, 'and nothing puts it back')
  const fast = idOf(tag)
  await one.session.create(fast, { ...sessionOf(), createdAtMs: Date.now() + 300 })
  await three.session.revokeAll(tag)
  t.equal(await one.session.touch(fast), null, 'though it began by a clock ahead')

  await server.kill()
  await one.rateLimit.peek('x', LIMIT)
  await one.session.revokeAll(tag)
  const begun = idOf(tag)
  await two.session.create(begun, lateSession())
  t.ok(await two.session.touch(begun), 'so it is without Redis')
  await three.session.revokeAll(tag)
  t.equal(await two.session.touch(begun), null)
})

t.test('a Redis that has lost its keys logs nobody out, and revives nobody', async (t) => {
  const server = await startRedis(t)
  const revocations = createRevocations()
  const one = await openReady(t, server.url, { revocations })
  const other = await openReady(t, server.url, { revocations })
  const [kept, revoked] = [idOf(), idOf()]
  for (const id of [kept, revoked]) {
    await one.session.create(id, sessionOf())
    await other.session.touch(id)
  }
  await other.session.revoke(revoked)
  await server.command('flushall')
  t.ok(await one.session.touch(kept))
  t.equal(await one.session.touch(revoked), null)
  t.ok(await server.command('exists', `test:se:{${kept.tag}}`), 'it is back in Redis')

  await server.kill()
  await server.start()
  await Promise.all([isBack(one), isBack(other)])
  t.ok(await server.command('exists', `test:se:{${kept.tag}}`), 'also after it was killed')
  t.equal(await one.session.touch(revoked), null)
})

t.test('what was counted meanwhile is added when Redis returns', async (t) => {
  const server = await startRedis(t)
  const stores = await openReady(t, server.url)
  const name = freshName()
  await stores.counters.add([{ counter: name, by: 1 }])
  server.pause()
  for (let i = 0; i < 10; i += 1) await stores.counters.add([{ counter: name, by: 2 }])
  for (let i = 0; i < 3; i += 1) await stores.counters.score(name, 'm', 5)
  await stores.counters.mark(name, ['a', 'b'])
  t.same(await stores.counters.read([name]), [20], 'what was counted here')
  server.resume()
  await isBack(stores)
  await sleep(100)
  const [total = 0] = await stores.counters.read([name])
  // the first was sent to a Redis that hung, and may have arrived after all
  t.ok(total === 21 || total === 23, `${total}`)
  t.same(await stores.counters.top(name, 1), [{ member: 'm', score: 15 }])
  t.equal(await stores.counters.distinct(name), 2)
})

t.test('a catalogue is cached without Redis too, and nothing else', async (t) => {
  const server = await startRedis(t)
  const stores = await openReady(t, server.url)
  await server.kill()
  const entries = ['catalogue:prices:7', 'balance:a:3']
  await stores.cache.setMany(entries.map((key) => ({ key, value: 'x', ttlMs: 1_000 })))
  t.same(await stores.cache.getMany(entries), ['x', null])
})
