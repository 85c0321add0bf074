import t from 'tap'
import type { OpenStores } from '../../src/stores/open.js'
import type { Revocations } from '../../src/stores/session/revocations.js'
import type { TestContext } from '../helpers/database.js'
import { type RedisServer, startRedis, startRedisCluster, until } from '../helpers/redis.js'
import { createRevocations, idOf, isBack, openReady } from './kit.js'

const KEEP_MS = 600_000
const LONG_AGO_MS = 300_000

const KINDS = {
  Redis: async (t: TestContext) => {
    const server = await startRedis(t)
    return { url: server.url, server }
  },
  'Redis Cluster': async (t: TestContext) => {
    const { url, servers } = await startRedisCluster(t)
    const [server] = servers
    if (server === undefined) throw new Error('a cluster has a first server')
    return { url, server }
  },
}

type Case = {
  readonly kind: keyof typeof KINDS
  readonly name: string
  readonly isAll: boolean
  act(server: RedisServer): unknown
}

const nothing = { name: 'lost nothing', isAll: false, act: () => {} }
const emptied: Omit<Case, 'kind'> = {
  name: 'was emptied',
  isAll: true,
  act: ({ command }) => command('flushall'),
}

const CASES: readonly Case[] = [
  { kind: 'Redis', ...nothing },
  { kind: 'Redis', ...emptied },
  {
    kind: 'Redis',
    name: 'began anew',
    isAll: true,
    async act({ kill, start }) {
      await kill()
      await start()
    },
  },
  {
    kind: 'Redis',
    name: 'followed another for a while',
    isAll: true,
    async act({ command }) {
      await command('replicaof', '127.0.0.1', 1)
      await command('replicaof', 'no', 'one')
    },
  },
  {
    kind: 'Redis',
    name: 'had to make room',
    isAll: true,
    async act({ command }) {
      await command('set', 'large', 'x')
      await command('config', 'set', 'maxmemory-policy', 'allkeys-random')
      await command('config', 'set', 'maxmemory', 1)
      await command('get', 'large')
      await command('set', 'large', 'x').catch(() => {})
      await command('config', 'set', 'maxmemory', 0)
    },
  },
  {
    kind: 'Redis',
    name: 'tells nothing of itself',
    isAll: true,
    act: ({ command }) => command('acl', 'setuser', 'default', '-info'),
  },
  { kind: 'Redis Cluster', ...nothing },
  { kind: 'Redis Cluster', ...emptied },
]

/** Hangs it until the process has noticed. */
const hang = async (server: RedisServer, stores: OpenStores, act: () => Promise<unknown>) => {
  server.pause()
  await until(async () => {
    await stores.session.touch(idOf()).catch(() => {})
    if (stores.links.session?.isUp()) throw new Error('nobody has noticed')
  })
  await act()
  server.resume()
  await isBack(stores)
}

for (const { kind, name, isAll, act } of CASES) {
  const told = isAll ? 'all' : 'what it has missed'
  t.test(`a ${kind} that ${name} is told of ${told} when it returns`, async (t) => {
    const { url, server } = await KINDS[kind](t)
    const clock = { behindMs: LONG_AGO_MS }
    const known = createRevocations(() => Date.now() - clock.behindMs)
    /** Since when it was asked for, at each look. */
    const since: number[] = []
    const revocations: Revocations = {
      ...known,
      async list(sinceMs, after) {
        since.push(sinceMs)
        return known.list(sinceMs, after)
      },
    }
    // in a slot of the first server of a cluster
    const [before, meanwhile] = [idOf('b'), idOf('b')]
    await known.note({ ...before, keepMs: KEEP_MS })
    clock.behindMs = 0
    const stores = await openReady(t, url, { revocations })
    const isTold = ({ tag, digest }: typeof before) =>
      server.command('hexists', `test:se:{${tag}}`, `x${digest}`)
    t.equal(await isTold(before), 1)
    t.equal(since[0], 0, 'at first of all')
    since.length = 0
    await act(server)
    await hang(server, stores, () => known.note({ ...meanwhile, keepMs: KEEP_MS }))
    t.equal(await isTold(before), 1)
    t.equal(await isTold(meanwhile), 1)
    t.equal(since.includes(0), isAll, `${since}`)
    since.length = 0
    await hang(server, stores, async () => {})
    const isSilent = name.startsWith('tells nothing')
    t.equal(since.includes(0), isSilent, 'and the next time of what it has missed, if it can tell')
  })
}
