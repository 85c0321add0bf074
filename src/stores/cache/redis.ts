import { Cluster, type Redis } from 'ioredis'
import { mastersOf, type RedisClient } from '../connection.js'
import { type Link, RedisAwayError } from '../link.js'
import type { CacheStore } from './store.js'

const PAGE_KEYS = 500
/** A page is looked through beside the requests, and may take longer than they wait. */
const PAGE_TIMEOUT_MS = 1_000
/** Of a server with many millions of keys, after which something is wrong. */
const MAX_PAGES = 100_000

export type RedisCacheDeps = { readonly link: Link; readonly keyPrefix: string }

/** The cache that all processes share. */
export const createRedisCache = ({ link, keyPrefix }: RedisCacheDeps): CacheStore => {
  const nameOf = (key: string) => `${keyPrefix}ca:${key}`
  return {
    async getMany(keys) {
      if (keys.length === 0) return []
      return link.run((client) => getAll(client, keys.map(nameOf)), keys.length)
    },
    async setMany(entries) {
      if (entries.length === 0) return
      await link.run((client) =>
        together(client, entries, (commands, { key, value, ttlMs }) =>
          commands.set(nameOf(key), value, 'PX', ttlMs),
        ),
      )
    },
    async delete(keys) {
      if (keys.length === 0) return
      await link.run((client) =>
        together(client, keys, (commands, key) => commands.unlink(nameOf(key))),
      )
    },
    async clear(prefix) {
      const pattern = `${literal(nameOf(prefix))}*`
      try {
        let count = 0
        for (const master of await link.run(async (client) => mastersOf(client))) {
          count += await clearServer(link, master, pattern)
        }
        return count
      } catch (error) {
        throw error instanceof RedisAwayError ? error : new RedisAwayError(error)
      }
    },
  }
}

const getAll = async (client: RedisClient, names: readonly string[]) =>
  (await together(client, names, (commands, name) => commands.get(name))).map((value) =>
    typeof value === 'string' ? value : null,
  )

type Commands = Pick<Redis, 'get' | 'set' | 'unlink'>

/** All in one round trip; the keys of a cluster are spread, so there each goes its own way. */
const together = async <T>(
  client: RedisClient,
  items: readonly T[],
  add: (commands: Commands, item: T) => unknown,
): Promise<readonly unknown[]> => {
  if (client instanceof Cluster) {
    return Promise.all(items.map((item) => add(client as unknown as Commands, item)))
  }
  const pipeline = client.pipeline()
  for (const item of items) add(pipeline as unknown as Commands, item)
  return ((await pipeline.exec()) ?? []).map(([error, value]) => {
    if (error) throw error
    return value
  })
}

const clearServer = async (link: Link, server: Redis, pattern: string): Promise<number> => {
  let cursor = '0'
  let count = 0
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const [next, keys] = await link.attempt(
      () => server.scan(cursor, 'MATCH', pattern, 'COUNT', PAGE_KEYS),
      PAGE_TIMEOUT_MS,
    )
    // one at a time: on a cluster those of one server still have different slots
    const deleted = await link.attempt(
      () => Promise.all(keys.map((key) => server.unlink(key))),
      PAGE_TIMEOUT_MS,
    )
    count += deleted.reduce((sum, one) => sum + one, 0)
    cursor = next
    if (cursor === '0') break
  }
  return count
}

/** Every character for itself. */
const literal = (text: string): string => text.replace(/[\\*?[\]^]/g, '\\$&')
