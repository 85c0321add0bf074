import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { createBoundedMap } from '../../src/stores/bounded-map.js'
import { createMemoryCache } from '../../src/stores/cache/memory.js'
import { createMemoryCounters } from '../../src/stores/counters/memory.js'
import { createMemoryRateLimit } from '../../src/stores/rate-limit/memory.js'
import { createMemorySessions } from '../../src/stores/session/memory.js'
import type { RedisSessions } from '../../src/stores/session/redis.js'
import { createSessionMirror, createSharedSessions } from '../../src/stores/session/shared.js'
import { createRevocations } from './kit.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const createClock = () => {
  const clock = { ms: 1_000_000, nowMs: () => clock.ms }
  return clock
}

t.test('what is full drops the expired first, then what was used longest ago', async (t) => {
  const clock = createClock()
  const map = createBoundedMap<number>({ maxEntries: 3, nowMs: clock.nowMs })
  map.set('old', 1, clock.ms + 100_000)
  map.set('short', 2, clock.ms + 1_000)
  map.set('new', 3, clock.ms + 100_000)
  clock.ms += 1_500
  map.set('a', 4, clock.ms + 100_000)
  t.same(map.keys(), ['old', 'new', 'a'], 'the expired one made room')
  t.equal(map.get('old'), 1)
  map.set('b', 5, clock.ms + 100_000)
  t.same(map.keys(), ['a', 'old', 'b'], 'then the one used longest ago')
  t.equal(map.size, 3)
})

t.test('values are bounded by what they weigh, and one too heavy drives none out', async (t) => {
  const clock = createClock()
  const weigh = (value: number) => value
  const map = createBoundedMap({ maxEntries: 10, maxWeight: 10, weigh, nowMs: clock.nowMs })
  for (const name of ['a', 'b', 'c']) map.set(name, 4, clock.ms + 1)
  t.same(map.keys(), ['b', 'c'])
  map.set('huge', 11, clock.ms + 1)
  t.same(map.keys(), ['b', 'c'])
  map.set('c', 11, clock.ms + 1)
  t.same(map.keys(), ['b'], 'nor does its older value stay')
  t.equal(map.weight, 4)
  map.delete('b')
  t.equal(map.weight, 0)
})

t.test('a million identities do not grow memory, nor open the limit of a busy one', async (t) => {
  const clock = createClock()
  const limits = createMemoryRateLimit({ nowMs: clock.nowMs })
  const limit = { max: 3, windowMs: 3_600_000 }
  for (let i = 0; i < 3; i += 1) await limits.take('busy', limit, 1)
  let isOpen = false
  const fill = async (from: number, to: number) => {
    for (let i = from; i < to; i += 1) {
      await limits.take(`flood ${i}`, limit, 1)
      if (i % 1_000 === 0) isOpen ||= (await limits.take('busy', limit, 1)).isAllowed
    }
  }
  await fill(0, 200_000)
  collectGarbage()
  const beforeBytes = process.memoryUsage().heapUsed
  await fill(200_000, 1_000_000)
  collectGarbage()
  const grownBytes = process.memoryUsage().heapUsed - beforeBytes
  t.ok(grownBytes < 8_000_000, `grown by ${(grownBytes / 1e6).toFixed(1)} MB`)
  t.equal(isOpen, false)
  t.equal((await limits.peek('flood 0', limit)).remaining, 3, 'the oldest were forgotten')
  t.equal((await limits.peek('flood 999999', limit)).remaining, 2)
})

t.test('sessions are bounded, and those forgotten leave nothing behind', async (t) => {
  const clock = createClock()
  const sessions = createMemorySessions({ nowMs: clock.nowMs, maxSessions: 100 })
  const session = {
    accountId: 'a',
    isGuest: true,
    createdAtMs: clock.ms,
    idleMs: 60_000,
    endsAtMs: clock.ms + 600_000,
  }
  for (let i = 0; i < 1_000; i += 1) await sessions.create({ tag: 't', digest: `${i}` }, session)
  t.equal(await sessions.read({ tag: 't', digest: '0' }), null)
  t.ok(await sessions.read({ tag: 't', digest: '999' }))
  t.equal(await sessions.revokeAll('t'), 100)
})

t.test('the cache is bounded by its bytes', async (t) => {
  const clock = createClock()
  const cache = createMemoryCache({ nowMs: clock.nowMs, maxBytes: 100_000 })
  const value = 'x'.repeat(10_000)
  const keys = Array.from({ length: 20 }, (_none, index) => `${index}`)
  for (const key of keys) await cache.setMany([{ key, value, ttlMs: 1_000 }])
  t.equal((await cache.getMany(keys)).filter((found) => found !== null).length, 4)
})

t.test('counters, boards and sets are bounded', async (t) => {
  const clock = createClock()
  const deps = { nowMs: clock.nowMs, maxCounters: 10, maxScores: 10 }
  const counters = createMemoryCounters(deps)
  for (let i = 0; i < 100; i += 1) {
    await counters.add([{ counter: `${i}`, by: 1 }])
    await counters.score('board', `${i}`, i)
  }
  t.same(await counters.read(['0', '99']), [0, 1])
  const top = await counters.top('board', 1_000)
  t.equal(top.length, 10)
  t.same(top[0], { member: '99', score: 99 }, 'the highest stay')
})

t.test("ending an account's sessions costs no look at all the others", async (t) => {
  let time = 0
  const nowMs = () => ++time
  const revocations = createRevocations(nowMs)
  const deps = { mirror: createSessionMirror(nowMs), revocations, nowMs, isReady: () => false }
  const store = createSharedSessions({ ...deps, redis: createUnused() })
  const session = { accountId: 'a', isGuest: false, createdAtMs: 0, idleMs: 8e7, endsAtMs: 9e7 }
  for (let i = 0; i < 50_000; i += 1) {
    await store.create({ tag: `tag-${i % 25_000}`, digest: `digest-${i}` }, session)
  }
  const startedMs = performance.now()
  for (let i = 0; i < 100; i += 1) t.equal(await store.revokeAll(`tag-${i}`), 2)
  const tookMs = performance.now() - startedMs
  t.ok(tookMs < 200, `${tookMs.toFixed(0)} ms for a hundred`)
  t.equal(await store.revokeAll('tag-1'), 0)
  t.ok(await store.read({ tag: 'tag-200', digest: 'digest-200' }))
})

/** A Redis that is never ready is never asked. */
const createUnused = (): RedisSessions => {
  const refuse = async () => {
    throw new Error('asked although it is away')
  }
  const reads = { create: refuse, read: refuse, touch: refuse }
  return {
    ...reads,
    revoke: refuse,
    revokeAll: refuse,
    restore: refuse,
    carryOver: refuse,
    apply: refuse,
  }
}
