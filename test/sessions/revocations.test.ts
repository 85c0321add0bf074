import { randomBytes, randomUUID } from 'node:crypto'
import t from 'tap'
import { sessionIdOf, sessionTag } from '../../src/http/session-token.js'
import { createGuests } from '../../src/sessions/guests.js'
import { createRevocations } from '../../src/sessions/revocations.js'
import { createSessions, type Sessions } from '../../src/sessions/service.js'
import { openFresh } from '../helpers/database.js'
import { startRedis } from '../helpers/redis.js'
import { isBack, openReady, type StoresSetup } from '../stores/kit.js'
import { openScene } from './kit.js'

const idOf = (tag = randomUUID()) => ({ tag, digest: randomUUID() })

t.test('what is noted is revoked, for the one, or for all that were there by then', async (t) => {
  const { orm } = await openFresh(t)
  const { note, isRevoked } = createRevocations({ orm, now: Date.now })
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
  await note({ tag: all.tag, digest: null, atMs: atMs - 9, untilMs: untilMs - 9 })
  t.equal(await isRevoked(all, atMs), true, 'an earlier word that comes late takes nothing back')
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

/** Sessions of one process over a Redis and a database; another call, another process. */
const openProcess = async (
  t: Parameters<typeof openReady>[0],
  { orm }: Awaited<ReturnType<typeof openFresh>>,
  url: string,
  setup: StoresSetup = {},
) => {
  const revocations = createRevocations({ orm, now: Date.now })
  const stores = await openReady(t, url, { revocations, ...setup })
  const state = { status: 'active' } as const
  const sessions: Sessions = createSessions({
    store: stores.session,
    guests: createGuests({ orm, now: Date.now }),
    // of the ledger nothing but its word that the account is open matters here
    ledger: { read: async () => state as never, submit: async () => state as never },
    times: { idleMs: 900_000, guestIdleMs: 300_000, maxMs: 86_400_000 },
    randomBytes,
    now: Date.now,
  })
  return { sessions, stores }
}

t.test('a revocation outlives an outage of Redis and the process that made it', async (t) => {
  const db = await openFresh(t)
  const redis = await startRedis(t)
  const first = await openProcess(t, db, redis.url)
  const [one, other] = [await first.sessions.create('ada'), await first.sessions.create('ada')]
  const [bob, eve] = [await first.sessions.create('bob'), await first.sessions.create('eve')]

  redis.pause()
  t.equal(await first.sessions.revoke(one.token), 1, 'revoked without Redis')
  t.equal(await first.sessions.revokeAll('bob'), 1)
  t.equal(await first.sessions.find(one.token), null)
  t.equal(await first.sessions.find(bob.token), null)
  t.match(await first.sessions.find(other.token), { accountId: 'ada' }, 'nobody is logged out')
  await first.stores.close()

  redis.resume()
  const second = await openProcess(t, db, redis.url)
  await isBack(second.stores)
  t.equal(await second.sessions.find(one.token), null, 'Redis never heard of it, but knows now')
  t.equal(await second.sessions.find(bob.token), null)
  t.match(await second.sessions.find(other.token), { accountId: 'ada' })
  t.match(await second.sessions.find(eve.token), { accountId: 'eve' })
  t.match(await second.sessions.create('bob'), { accountId: 'bob' }, 'new ones may begin')
})

t.test('Redis holds no token', async (t) => {
  const db = await openFresh(t)
  const redis = await startRedis(t)
  const { sessions } = await openProcess(t, db, redis.url)
  const { token } = await sessions.create('ada')
  await sessions.find(token)
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
  t.not(sessionTag('ada'), sessionTag('bob'))
})
