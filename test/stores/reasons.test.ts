import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { tryRoles } from '../../src/stores/inspect.js'
import { openLinks } from '../../src/stores/open.js'
import { createRedisReports } from '../../src/stores/redis-health.js'
import { findRedisTargets } from '../../src/stores/urls.js'
import type { TestContext } from '../helpers/database.js'
import { startRedis } from '../helpers/redis.js'
import { freshName, isBack, monotonicMs, openAt } from './kit.js'

/** What the log, the health and a trial say of this address, after as long as a command waits. */
const reasonsOf = async (t: TestContext, url: string): Promise<readonly unknown[]> => {
  const told: unknown[] = []
  const log = {
    info: (_fields: object, message: string) => void told.push(message),
    warn: (fields: object) => void told.push((fields as { reason: string }).reason),
  }
  const setup = { keyPrefix: 'test:', monotonicMs }
  const targets = findRedisTargets({ REDIS_URL: url })
  const { links, settle, close } = openLinks({ ...setup, targets, timeoutMs: 100, log })
  t.teardown(close)
  await settle(1_500)
  const budget = { commandsPerMonth: 1, bytes: 1 }
  const reports = createRedisReports({ ...setup, links, budget, nowMs: Date.now })
  const { roles } = await reports.checkHealth()
  const [main] = await tryRoles({ ...setup, links, newId: freshName })
  return [...told, roles.main.reason, ...(main?.trials ?? []).map(({ detail }) => detail)]
}

/** The port of a server that speaks HTTP and nothing else. */
const startHttp = async (t: TestContext): Promise<number> => {
  const server = createServer((_request, response) => response.end('hello'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address ? address.port : 0
}

const ofRedis =
  (options: readonly string[], change: (url: string) => string) =>
  async (t: TestContext): Promise<string> =>
    change((await startRedis(t, options)).url)

const ofFrozen = (change: (url: string) => string) => async (t: TestContext) => {
  const server = await startRedis(t, ['--requirepass', 'right'])
  server.pause()
  t.teardown(server.resume)
  return change(server.url)
}

const NO_CLUSTER = 'it is not a cluster: leave out ?cluster=true'
const NO_TLS = 'TLS is asked for (rediss), and what answers there does not speak it'
const NO_ANSWER = 'it does not answer in time'
const as = (user: string) => (url: string) => url.replace('://', `://${user}@`)
const encrypted = (url: string) => url.replace('redis:', 'rediss:')
const clustered = (url: string) => `${url}?cluster=true`
const LOCKED = ['--requirepass', 'right']

type Case = readonly [name: string, start: (t: TestContext) => Promise<string>, reason: string]

const CASES: readonly Case[] = [
  ['no such database', ofRedis([], (url) => `${url}/99`), 'it has no database of that number'],
  ['TLS to a plain Redis', ofRedis([], encrypted), NO_TLS],
  ['TLS to HTTP', async (t) => `rediss://127.0.0.1:${await startHttp(t)}`, NO_TLS],
  ['a single Redis as a cluster', ofRedis([], clustered), NO_CLUSTER],
  [
    'the same with a password, and none given',
    ofRedis(LOCKED, clustered),
    'it asks for a password, or refuses the one given',
  ],
  [
    'the same with a wrong password',
    ofRedis(LOCKED, (url) => clustered(as(':wrong')(url))),
    'it refuses the password',
  ],
  [
    'the same with the right password',
    ofRedis(LOCKED, (url) => clustered(as(':right')(url))),
    NO_CLUSTER,
  ],
  ['frozen', ofFrozen((url) => url), NO_ANSWER],
  ['frozen before it has seen the password', ofFrozen(as(':right')), NO_ANSWER],
  ['frozen, as a cluster', ofFrozen(clustered), NO_ANSWER],
  [
    'an HTTP server',
    async (t) => `redis://127.0.0.1:${await startHttp(t)}`,
    'what answers there is not Redis',
  ],
]

for (const [name, start, reason] of CASES) {
  t.test(`${name}: the same reason is told everywhere`, async (t) => {
    const url = await start(t)
    t.same(await reasonsOf(t, url), [reason, reason, reason])
  })
}

t.test('one that freezes while it is in use does not answer in time', async (t) => {
  const server = await startRedis(t)
  const setup = { keyPrefix: 'test:', monotonicMs }
  const { links, settle, close } = openLinks({
    ...setup,
    targets: findRedisTargets({ REDIS_URL: server.url }),
    timeoutMs: 100,
    log: { info() {}, warn() {} },
  })
  t.teardown(close)
  await settle(5_000)
  server.pause()
  const budget = { commandsPerMonth: 1, bytes: 1 }
  const reports = createRedisReports({ ...setup, links, budget, nowMs: Date.now })
  t.match(await reports.checkHealth(), { roles: { main: { reason: NO_ANSWER } } })
  server.resume()
})

t.test('no other database than the one that is named is written to', async (t) => {
  const { url, command } = await startRedis(t)
  const stores = await openAt(t, `${url}/99`)
  const session = {
    accountId: 'a',
    isGuest: false,
    createdAtMs: Date.now(),
    idleMs: 600_000,
    endsAtMs: Date.now() + 3_600_000,
  }
  for (let i = 0; i < 15; i += 1) {
    await stores.session.create({ tag: freshName(), digest: freshName() }, session)
    await stores.rateLimit.take(freshName(), { max: 5, windowMs: 60_000 }, 1)
    await stores.counters.add([{ counter: 'c', by: 1 }])
    await stores.links.main?.attempt((client) => client.set('x', '1'), 50).catch(() => {})
    t.equal(stores.links.main?.isUp(), false, 'it is never ready')
    await sleep(100)
  }
  t.equal(await command('dbsize'), 0)
  const info = String(await command('info', 'stats'))
  const connections = Number(/^total_connections_received:(\d+)/m.exec(info)?.[1])
  t.ok(connections < 15, `it is not flooded: ${connections} connections`)

  const right = await openAt(t, `${url}/3`)
  await isBack(right)
  await right.cache.setMany([{ key: 'a', value: 'b', ttlMs: 60_000 }])
  t.equal(await command('dbsize'), 0, 'and one that is there is used alone')
})
