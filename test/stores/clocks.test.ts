import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createRevocations } from '../../src/sessions/revocations.js'
import type { OpenStores } from '../../src/stores/open.js'
import { openFresh, type TestContext } from '../helpers/database.js'
import { createProxy } from '../helpers/proxy.js'
import { type RedisServer, startRedis, until } from '../helpers/redis.js'
import { freshName, idOf, isBack, openReady, sessionOf, UNHURRIED } from './kit.js'

const HOUR_MS = 3_600_000
const IDLE_MS = 1_000

/** A process over a wire of its own, by a clock that is so far ahead. */
const openProcess = async (t: TestContext, server: RedisServer, aheadMs: number, orm: Orm) => {
  const wire = await createProxy(server.port)
  t.teardown(wire.close)
  const nowMs = () => Date.now() + aheadMs
  const revocations = createRevocations({ orm })
  const url = `redis://127.0.0.1:${wire.port}`
  const stores = await openReady(t, url, { ...UNHURRIED, nowMs, revocations })
  return {
    stores,
    nowMs,
    session: stores.session,
    async cutOff() {
      wire.set('cut')
      wire.reset()
      await until(async () => {
        if (stores.links.session?.isUp()) throw new Error('it is not cut off yet')
      })
    },
    async reconnect() {
      wire.set('pass')
      await isBack(stores)
    },
  }
}

type Orm = Parameters<typeof createRevocations>[0]['orm']

/** Gives up after a while. */
const becomesNull = (stores: OpenStores, id: ReturnType<typeof idOf>) =>
  until(async () => {
    if ((await stores.session.read(id)) !== null) throw new Error('it is still live')
    return null
  })

for (const [name, aheadMs] of [
  ['ahead', HOUR_MS],
  ['behind', -HOUR_MS],
] as const) {
  t.test(`a clock an hour ${name}: what was revoked elsewhere is not revived`, async (t) => {
    const [server, { orm }] = [await startRedis(t), await openFresh(t)]
    const wrong = await openProcess(t, server, aheadMs, orm)
    const right = await openProcess(t, server, 0, orm)
    const [one, tag] = [idOf(), freshName()]
    const ofTag = idOf(tag)
    const session = () => ({ ...sessionOf(), createdAtMs: wrong.nowMs() })
    for (const id of [one, ofTag]) await wrong.session.create(id, session())
    await right.session.read(one)
    await wrong.cutOff()
    const madeThere = idOf(tag)
    await wrong.session.create(madeThere, session())
    for (const id of [one, ofTag, madeThere]) t.ok(await wrong.session.touch(id))
    // with neither in reach of Redis, the database alone knows
    await right.cutOff()
    await right.session.revoke(one)
    await right.session.revokeAll(tag)
    await wrong.reconnect()
    await right.reconnect()
    for (const id of [one, ofTag, madeThere]) {
      t.equal(await wrong.session.touch(id), null)
      t.equal(await right.session.touch(id), null)
    }
  })

  t.test(`a clock an hour ${name}: what was revoked here reaches the others`, async (t) => {
    const [server, { orm }] = [await startRedis(t), await openFresh(t)]
    const wrong = await openProcess(t, server, aheadMs, orm)
    const right = await openProcess(t, server, 0, orm)
    const [one, tag] = [idOf(), freshName()]
    const all = idOf(tag)
    for (const id of [one, all]) await right.session.create(id, sessionOf())
    await wrong.cutOff()
    await wrong.session.revoke(one)
    await wrong.session.revokeAll(tag)
    t.equal(await becomesNull(right.stores, one), null)
    t.equal(await becomesNull(right.stores, all), null)
  })

  t.test(`a clock an hour ${name}: it tells Redis what others have revoked`, async (t) => {
    const [server, { orm }] = [await startRedis(t), await openFresh(t)]
    const wrong = await openProcess(t, server, aheadMs, orm)
    const id = idOf()
    await wrong.session.create(id, sessionOf())
    await createRevocations({ orm }).note({ ...id, keepMs: 600_000 })
    t.equal(await becomesNull(wrong.stores, id), null)
  })

  t.test(`a clock an hour ${name}: a session that has expired stays so`, async (t) => {
    const [server, { orm, pool }] = [await startRedis(t), await openFresh(t)]
    const wrong = await openProcess(t, server, aheadMs, orm)
    const id = idOf()
    await wrong.session.create(id, { ...sessionOf(), idleMs: IDLE_MS })
    await wrong.cutOff()
    const used = await wrong.session.touch(id)
    const leftMs = (used?.expiresAtMs ?? 0) - Date.now()
    t.ok(leftMs > 0 && leftMs <= IDLE_MS, `${leftMs} ms left`)
    await createRevocations({ orm }).note({ ...id, keepMs: IDLE_MS })
    await sleep(IDLE_MS + 100)
    // what was revoked is forgotten once it would have expired anyway
    await pool.query('delete from session_revocations')
    await wrong.reconnect()
    t.equal(await wrong.session.touch(id), null)
    t.equal(await server.command('hexists', `test:se:{${id.tag}}`, `s${id.digest}`), 0)
  })
}
