import { RedisAwayError } from '../link.js'
import { CATALOGUE_PREFIX, type CacheStore } from './store.js'

export type SharedCacheDeps = {
  readonly redis: CacheStore
  /** For catalogues while Redis is away; small, and nothing in it for long. */
  readonly memory: CacheStore
}

/** Without Redis nothing is cached but the catalogues, each process for itself. */
export const createSharedCache = ({ redis, memory }: SharedCacheDeps): CacheStore => {
  const orElse = async <T>(there: Promise<T>, here: () => Promise<T>): Promise<T> => {
    try {
      return await there
    } catch (error) {
      // a value that can be made again is never worth a failure
      if (error instanceof RedisAwayError) return here()
      throw error
    }
  }
  return {
    getMany: (keys) => orElse(redis.getMany(keys), () => memory.getMany(keys)),
    setMany: (entries) =>
      orElse(redis.setMany(entries), () =>
        memory.setMany(entries.filter(({ key }) => key.startsWith(CATALOGUE_PREFIX))),
      ),
    async delete(keys) {
      await memory.delete(keys)
      await orElse(redis.delete(keys), async () => {})
    },
    async clear(prefix) {
      const here = await memory.clear(prefix)
      return orElse(redis.clear(prefix), async () => here)
    },
  }
}
