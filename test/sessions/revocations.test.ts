import { randomUUID } from 'node:crypto'
import t from 'tap'
import { sessionIdOf } from '../../src/http/session-token.js'
import { createRevocations } from '../../src/sessions/revocations.js'
import { openFresh } from '../helpers/database.js'
import { startRedis, until } from '../helpers/redis.js'
import { openScene, type Scene } from './kit.js'

const idOf = (tag = randomUUID()) => ({ tag, digest: randomUUID() })

t.test('what is noted is revoked, for the one, or for all that were there by then', async (t) => {
  const { orm } = await openFresh(t)
  const { note, isRevoked, revokedUntil } = createRevocations({ orm, now: Date.now })
  const atMs = Date.now()
  const untilMs = atMs + 60_000
  const one = idOf()
  await note({ ...one, atMs, untilMs })
  await note({ ...one, atMs, untilMs })
  t.equal(await isRevoked(one, atMs - 1), true)
  t.equal(await isRevoked(one, atMs + 1), true, 'a session is revoked for good')
  t.equal(await isRevoked(idOf(one.tag), atMs), false, 'not the others of the account')
  t.equal(await isRevoked({ ...one, tag: 'else' }, atMs), false)
  const all = idOf()
  await note({ tag: all.tag, digest: null, atMs, untilMs })
  t.equal(await isRevoked(all, atMs), true)
  t.equal(await isRevoked(idOf(all.tag), atMs - 5_000), true)
  t.equal(await isRevoked(idOf(all.tag), atMs + 1), false, 'a later one lives')
  t.equal(await revokedUntil(all.tag), atMs)
  t.equal(await revokedUntil(one.tag), null, 'of one alone, not of all')
  const late = { tag: all.tag, digest: null, atMs: atMs - 9, untilMs: untilMs - 9 }
  t.equal(await note(late), atMs + 1, 'by a late clock, it ends what began after the last time')
  t.equal(await isRevoked(all, atMs), true, 'and takes nothing back')
  t.equal(await isRevoked(idOf(all.tag), atMs + 1), true)
  await note({ tag: all.tag, digest: null, atMs: atMs + 9, untilMs: untilMs + 9 })
  t.equal(await isRevoked(idOf(all.tag), atMs + 9), true)
})

t.test('the list gives each once, page by page, and none that may be forgotten', async (t) => {
  const { orm } = await openFresh(t)
  const clock = { ms: Date.now() }
  const { note, list, cleanUp, isRevoked } = createRevocations({ orm, now: () => clock.ms })
  const sinceMs = clock.ms
  const old = idOf()
  await note({ ...old, atMs: sinceMs - 1, untilMs: sinceMs + 60_000 })
  await note({ ...idOf(), atMs: sinceMs, untilMs: sinceMs })
  const noted = Array.from({ length: 1_203 }, (_, i) => ({
    tag: randomUUID(),
    digest: i % 3 === 0 ? null : randomUUID(),
    // many of one instant: the order must not depend on the time alone
    atMs: sinceMs + (i % 2),
    untilMs: sinceMs + 10_000 + i,
  }))
  for (let at = 0; at < noted.length; at += 50) {
    await Promise.all(noted.slice(at, at + 50).map(note))
  }
  const seen: unknown[] = []
  let after: string | null = null
  let pages = 0
  do {
    const page = await list(sinceMs, after)
    t.ok(page.revocations.length <= 500)
    seen.push(...page.revocations)
    after = page.next
    pages += 1
  } while (after !== null)
  t.equal(pages, 3)
  const byTag = (all: unknown[]) => new Map((all as { tag: string }[]).map((one) => [one.tag, one]))
  t.same(byTag(seen), byTag(noted))
  t.equal(seen.length, noted.length, 'none twice')

  t.equal(await cleanUp(), 1)
  clock.ms = sinceMs + 10_000 + 600
  t.equal(await cleanUp(), 601)
  t.equal((await list(sinceMs, null)).revocations.length, 500)
  t.equal(await isRevoked(old, sinceMs - 1), true)
  clock.ms = sinceMs + 3_600_000
  t.equal(await cleanUp(), 603)
  t.same(await list(0, null), { revocations: [], next: null })
})

t.test('the jobs of the service delete what is past', async (t) => {
  const scene = await openScene(t)
  const { note } = createRevocations({ orm: scene.core.db.orm, now: scene.core.now })
  const atMs = scene.core.now()
  await note({ ...idOf(), atMs, untilMs: atMs + 60_000 })
  t.match(await scene.runJob('sessions.revocations'), '0 revocations')
  scene.clock.aheadMs = 61_000
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
