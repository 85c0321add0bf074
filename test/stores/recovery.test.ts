import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { OpenStores } from '../../src/stores/open.js'
import { createRedisSessions } from '../../src/stores/session/redis.js'
import type { Revocations } from '../../src/stores/session/revocations.js'
import type { Mirrored } from '../../src/stores/session/shared.js'
import { createProxy } from '../helpers/proxy.js'
import { startRedis, until } from '../helpers/redis.js'
import {
  createRevocations,
  freshName,
  idOf,
  isBack,
  monotonicMs,
  openReady,
  sessionOf,
  UNHURRIED,
} from './kit.js'

const MAX_CALL_MS = 50

t.test('a session used by a process that was cut off lives on for all of them', async (t) => {
  const server = await startRedis(t)
  const wire = await createProxy(server.port)
  t.teardown(wire.close)
  const revocations = createRevocations()
  const cutOff = await openReady(t, `redis://127.0.0.1:${wire.port}`, { revocations })
  const other = await openReady(t, server.url, { revocations })
  const id = idOf()
  const made = await cutOff.session.create(id, sessionOf())
  wire.set('cut')
  wire.reset()
  await sleep(200)
  const used = await cutOff.session.touch(id)
  t.ok(used && used.expiresAtMs >= made.expiresAtMs + 150, 'its use prolongs it there')
  wire.set('pass')
  await isBack(cutOff)
  t.equal((await other.session.read(id))?.expiresAtMs, used?.expiresAtMs)
  t.ok(((await other.session.touch(id))?.expiresAtMs ?? 0) > (used?.expiresAtMs ?? 0))
  await isBack(cutOff)
})

t.test('a Redis lost while it is told of revocations is told of all when it is back', async (t) => {
  const server = await startRedis(t)
  const known = createRevocations()
  const id = idOf()
  await known.note({ ...id, keepMs: 600_000 })
  const gate = { isShut: false, isReached: false }
  const revocations: Revocations = {
    ...known,
    async list(...asked) {
      gate.isReached = gate.isShut
      const found = await known.list(...asked)
      while (gate.isShut) await sleep(5)
      return found
    },
  }
  const stores = await openReady(t, server.url, { revocations })
  const isTold = () => server.command('hexists', `test:se:{${id.tag}}`, `x${id.digest}`)
  t.equal(await isTold(), 1)

  gate.isShut = true
  await until(async () => {
    if (!gate.isReached) throw new Error('nobody looks for what is new')
  }, 10_000)
  await server.kill()
  await server.start()
  await until(async () => {
    if (!stores.links.session?.isUp()) throw new Error('Redis has not returned')
  }, 10_000)
  t.equal(await isTold(), 0, 'it returned empty')
  gate.isShut = false
  await isBack(stores)
  t.equal(await isTold(), 1)
})

t.test('a Redis that hangs while a lost session is put back costs one call little', async (t) => {
  const server = await startRedis(t)
  const known = createRevocations()
  let hangs = false
  const revocations: Revocations = {
    ...known,
    // asked between the look that finds nothing and the putting back
    async check(...asked) {
      if (hangs) server.pause()
      return known.check(...asked)
    },
  }
  const stores = await openReady(t, server.url, { revocations })
  const id = idOf()
  await stores.session.create(id, sessionOf())
  await server.command('flushall')
  hangs = true
  const startedMs = monotonicMs()
  t.ok(await stores.session.touch(id), 'it lives on here')
  const tookMs = monotonicMs() - startedMs
  t.ok(tookMs <= MAX_CALL_MS, `${tookMs.toFixed(1)} ms`)
  hangs = false
  server.resume()
  await isBack(stores)
  t.ok(await stores.session.touch(id))
})

t.test('after an outage a look at a limit says what taking would say', async (t) => {
  const server = await startRedis(t)
  const stores = await openReady(t, server.url)
  const [key, limit] = [freshName(), { max: 3, windowMs: 600_000 }]
  await server.kill()
  for (let i = 0; i < 3; i += 1) t.ok((await stores.rateLimit.take(key, limit, 1)).isAllowed)
  await server.start()
  await isBack(stores)
  const { isAllowed, remaining } = await stores.rateLimit.peek(key, limit)
  t.same({ isAllowed, remaining }, { isAllowed: false, remaining: 0 })
  t.equal((await stores.rateLimit.take(key, limit, 1)).isAllowed, false)
})

const revokeOneByOne = async (stores: OpenStores, tag: string, count: number) => {
  const revoked: Mirrored[] = []
  for (let i = 0; i < count; i += 1) {
    const id = idOf(tag)
    revoked.push({ id, live: await stores.session.create(id, sessionOf()) })
    await stores.session.revoke(id)
  }
  return revoked
}

t.test('what was revoked is remembered as long as it would have lived, and a minute', async (t) => {
  const server = await startRedis(t)
  const one = await openReady(t, server.url)
  const other = await openReady(t, server.url)
  const [seen, tag] = [idOf(), freshName()]
  await one.session.create(seen, sessionOf())
  await other.session.revoke(seen)
  await other.session.revoke({ ...seen, tag })
  const left = await server.command('pttl', `test:se:{${seen.tag}}`)
  t.ok(Number(left) > 650_000 && Number(left) <= 660_000, `${left} ms`)
})

t.test('the marks of any number of logouts are bounded, and revive nobody', async (t) => {
  const server = await startRedis(t)
  const stores = await openReady(t, server.url, UNHURRIED)
  const tag = freshName()
  const key = `test:se:{${tag}}`
  const old = idOf(tag)
  const made = await stores.session.create(old, { ...sessionOf(), createdAtMs: Date.now() - 9_000 })
  const revoked = await revokeOneByOne(stores, tag, 1_300)
  const fields = Number(await server.command('hlen', key))
  t.ok(fields <= 1_003, `${fields} fields`)
  const many = freshName()
  for (let i = 0; i < 2_100; i += 1) await stores.session.revoke(idOf(many))
  t.ok(Number(await server.command('hlen', `test:se:{${many}}`)) <= 2_001, 'nor without a login')
  const last = idOf(tag)
  await stores.session.create(last, sessionOf())
  const kept = Number(await server.command('hlen', key))
  t.ok(kept <= 1_003, `${kept} fields once somebody has signed in`)

  const link = stores.links.session
  if (link === null) throw new Error('no Redis')
  const redis = createRedisSessions({ link, keyPrefix: 'test:' })
  let back = 0
  for (let i = 0; i < revoked.length; i += 100) {
    const areBack = await redis.carryOver(revoked.slice(i, i + 100))
    back += areBack.filter(Boolean).length
  }
  t.equal(back, 0, 'none is put back')
  const longer = { ...made, expiresAtMs: made.expiresAtMs + 60_000 }
  t.equal(
    (await redis.carryOver([{ id: old, live: longer }]))[0],
    true,
    'one that is live is prolonged, however old',
  )
  t.equal((await stores.session.read(old))?.expiresAtMs, longer.expiresAtMs)
  t.ok(await stores.session.touch(last))
  t.equal(await stores.session.revokeAll(tag), 2)
  t.equal((await redis.carryOver([{ id: old, live: longer }]))[0], false)
})
