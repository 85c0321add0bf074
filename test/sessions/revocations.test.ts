import { randomUUID } from 'node:crypto'
import { sql } from 'drizzle-orm'
import t from 'tap'
import { sessionIdOf } from '../../src/http/session-token.js'
import { createRevocations } from '../../src/sessions/revocations.js'
import type { Revocation, RevocationPage } from '../../src/stores/session/revocations.js'
import { openFresh } from '../helpers/database.js'
import { startRedis, until } from '../helpers/redis.js'
import { openScene, type Scene } from './kit.js'

const idOf = (tag = randomUUID()) => ({ tag, digest: randomUUID() })

t.test('what is noted is revoked, for the one, or for all that were there by then', async (t) => {
  const { orm } = await openFresh(t)
  const { note, check, revokedUntil } = createRevocations({ orm })
  const isRevoked = async (...asked: Parameters<typeof check>) => (await check(...asked)).isRevoked
  const keepMs = 60_000
  const one = idOf()
  const { atMs: oneAtMs } = await note({ ...one, keepMs })
  await note({ ...one, keepMs })
  t.equal(await isRevoked(one, oneAtMs - 1), true)
  t.equal(await isRevoked(one, oneAtMs + 3_600_000), true, 'a session is revoked for good')
  t.equal(await isRevoked(idOf(one.tag), oneAtMs), false, 'not the others of the account')
  t.equal(await isRevoked({ ...one, tag: 'else' }, oneAtMs), false)
  const all = idOf()
  const { atMs } = await note({ tag: all.tag, digest: null, keepMs })
  t.equal(await isRevoked(all, atMs), true)
  t.equal(await isRevoked(idOf(all.tag), atMs - 5_000), true)
  t.equal(await isRevoked(idOf(all.tag), atMs + 1), false, 'a later one lives')
  t.equal((await revokedUntil(all.tag)).untilMs, atMs)
  t.equal((await revokedUntil(one.tag)).untilMs, null, 'of one alone, not of all')
  const aheadMs = atMs + 60_000
  await orm.execute(sql`update session_revocations set revoked_at = ${new Date(aheadMs)}
                         where tag = ${all.tag}`)
  const again = await note({ tag: all.tag, digest: null, keepMs })
  t.equal(again.atMs, aheadMs + 1, 'it ends what began after the last time')
  t.equal(await isRevoked(idOf(all.tag), aheadMs + 1), true)
  t.equal(await isRevoked(all, atMs), true, 'and takes nothing back')
})

t.test('all times are those of the database', async (t) => {
  const { orm, pool } = await openFresh(t)
  const { note, check, revokedUntil, readTimeMs, list } = createRevocations({ orm })
  const { rows } = await pool.query<{ ms: number }>(
    `select extract(epoch from clock_timestamp())::float8 * 1000 as ms`,
  )
  const databaseMs = rows[0]?.ms ?? 0
  const sinceMs = await readTimeMs()
  const { atMs, leftMs } = await note({ ...idOf(), keepMs: 60_000 })
  const told = [atMs, sinceMs, (await check(idOf(), 0)).nowMs, (await revokedUntil('x')).nowMs]
  for (const ms of told) t.ok(Math.abs(ms - databaseMs) < 10_000, `${ms}`)
  t.equal(leftMs, 60_000)
  const { revocations } = await list(sinceMs, null)
  t.equal(revocations.length, 1)
  const listedMs = revocations[0]?.leftMs ?? 0
  t.ok(listedMs <= 60_000 && listedMs > 50_000, `${listedMs} ms left`)
})

t.test('the list gives each once, page by page, and none that may be forgotten', async (t) => {
  const { orm, pool } = await openFresh(t)
  const { note, list, cleanUp, check, readTimeMs } = createRevocations({ orm })
  const age = (seconds: number) =>
    pool.query(
      `update session_revocations set expires_at = expires_at - $1 * interval '1 second'`,
      [seconds],
    )
  const old = idOf()
  await note({ ...old, keepMs: 3_600_000 })
  await pool.query(`update session_revocations set noted_at = noted_at - interval '1 minute'`)
  const sinceMs = await readTimeMs()
  await note({ ...idOf(), keepMs: 0 })
  const noted = Array.from({ length: 1_203 }, (_, i) => ({
    tag: randomUUID(),
    digest: i % 3 === 0 ? null : randomUUID(),
    keepMs: i < 600 ? 1_800_000 : 7_200_000,
  }))
  for (let at = 0; at < noted.length; at += 50) {
    await Promise.all(noted.slice(at, at + 50).map(note))
  }
  // many of one instant: the order must not depend on the time alone
  await pool.query(`update session_revocations set noted_at = $1 where noted_at >= $1`, [
    new Date(sinceMs),
  ])
  const seen: Revocation[] = []
  let after: string | null = null
  let pages = 0
  do {
    const page: RevocationPage = await list(sinceMs, after)
    t.ok(page.revocations.length <= 500)
    seen.push(...page.revocations)
    after = page.next
    pages += 1
  } while (after !== null)
  t.equal(pages, 3)
  const namesOf = (all: readonly { tag: string; digest: string | null }[]) =>
    all.map(({ tag, digest }) => `${tag} ${digest}`).sort()
  t.same(namesOf(seen), namesOf(noted), 'each of them once')

  t.equal(await cleanUp(), 1)
  await age(2_700)
  t.equal(await cleanUp(), 600)
  t.equal((await list(sinceMs, null)).revocations.length, 500)
  t.equal((await check(old, sinceMs)).isRevoked, true)
  await age(7_200)
  t.equal(await cleanUp(), 604)
  t.same(await list(0, null), { revocations: [], next: null })
})

t.test('one that is noted again is told again', async (t) => {
  const { orm, pool } = await openFresh(t)
  const { note, list, readTimeMs } = createRevocations({ orm })
  const id = idOf()
  await note({ ...id, keepMs: 60_000 })
  await pool.query(`update session_revocations set noted_at = noted_at - interval '1 minute'`)
  const sinceMs = await readTimeMs()
  t.same((await list(sinceMs, null)).revocations, [])
  await note({ ...id, keepMs: 60_000 })
  t.match((await list(sinceMs, null)).revocations, [id])
})

t.test('the jobs of the service delete what is past', async (t) => {
  const scene = await openScene(t)
  const { note } = createRevocations({ orm: scene.core.db.orm })
  await note({ ...idOf(), keepMs: 60_000 })
  t.match(await scene.runJob('sessions.revocations'), '0 revocations')
  await scene.core.db.pool.query(`update session_revocations set expires_at = now()`)
  t.match(await scene.runJob('sessions.revocations'), '1 revocations')
})

t.test('a revocation outlives an outage of Redis and the process that made it', async (t) => {
  const redis = await startRedis(t)
  const environment = { REDIS_URL: redis.url }
  const first = await openScene(t, { environment })
  for (const id of ['ada', 'bob', 'eve']) await first.open(id)
  const [one, other] = [await first.begin('ada'), await first.begin('ada')]
  const [bob, eve] = [await first.begin('bob'), await first.begin('eve')]
  const statusIn = async (scene: Scene, token: string) =>
    (await scene.as(token, 'GET', '/v1/sessions/current')).status

  redis.pause()
  t.match(await first.as(one, 'DELETE', '/v1/sessions/current'), { body: { revoked: 1 } })
  t.match(await first.call('DELETE', '/v1/accounts/bob/sessions'), { body: { revoked: 1 } })
  t.equal(await statusIn(first, one), 401, 'revoked without Redis')
  t.equal(await statusIn(first, bob), 401)
  t.equal(await statusIn(first, other), 200, 'nobody is logged out')
  const stranger = await first.as(`cs_${'A'.repeat(54)}`, 'GET', '/v1/sessions/current')
  t.match(stranger, { status: 503, body: { code: 'sessions_unavailable' } }, 'nobody can tell')
  t.equal(stranger.headers['retry-after'], '1')
  t.equal((await first.call('GET', '/v1/accounts/ada/balance')).status, 200, 'keys go on')
  await first.close()

  redis.resume()
  const second = await openScene(t, { url: first.url, environment })
  await until(async () => {
    if ((await statusIn(second, eve)) !== 200) throw new Error('Redis has not returned')
  })
  t.equal(await statusIn(second, one), 401, 'Redis never heard of it, but knows now')
  t.equal(await statusIn(second, bob), 401)
  t.equal(await statusIn(second, other), 200)
  t.equal(await statusIn(second, await second.begin('bob')), 200, 'new ones may begin')
})

t.test('a session begun in one process is known in another, and ended in both', async (t) => {
  const redis = await startRedis(t)
  const environment = { REDIS_URL: redis.url }
  const first = await openScene(t, { environment })
  const second = await openScene(t, { url: first.url, environment })
  await first.open('ada')
  const token = await first.begin('ada')
  const current = (scene: Scene) => scene.as(token, 'GET', '/v1/sessions/current')
  t.equal((await current(second)).status, 200)
  await second.call('DELETE', '/v1/accounts/ada')
  t.equal((await current(first)).status, 401, 'the account was closed elsewhere')
  t.equal((await current(second)).status, 401)
})

t.test('Redis holds no token', async (t) => {
  const redis = await startRedis(t)
  const scene = await openScene(t, { environment: { REDIS_URL: redis.url } })
  await scene.open('ada')
  const token = await scene.begin('ada')
  t.equal((await scene.as(token, 'GET', '/v1/sessions/current')).status, 200)
  const keys = (await redis.command('keys', '*')) as string[]
  t.ok(keys.length > 0)
  const values = await Promise.all(
    keys.map(async (key) => {
      const kind = String(await redis.command('type', key))
      const read: Record<string, (string | number)[]> = {
        string: ['get', key],
        hash: ['hgetall', key],
        zset: ['zrange', key, 0, -1],
        set: ['smembers', key],
      }
      const [name = 'get', ...args] = read[kind] ?? ['dump', key]
      return JSON.stringify(await redis.command(String(name), ...args))
    }),
  )
  const all = `${keys.join(' ')} ${values.join(' ')}`
  const digest = sessionIdOf(token)?.digest ?? ''
  t.match(all, digest, 'its digest')
  t.notMatch(all, token.slice(-43))
})
