import { createBoundedMap } from '../bounded-map.js'
import type { CacheStore } from './store.js'

const MAX_ENTRIES = 10_000
const MAX_BYTES = 16_777_216
/** What an entry takes beside its characters. */
const ENTRY_BYTES = 200

export type MemoryCacheDeps = {
  readonly nowMs: () => number
  readonly maxEntries?: number
  readonly maxBytes?: number
  /** Nothing is kept longer than this, whatever its time to live. */
  readonly maxTtlMs?: number
}

type Kept = { readonly key: string; readonly value: string }

/** The cache of this process alone; what was used longest ago makes room. */
export const createMemoryCache = ({
  nowMs,
  maxEntries = MAX_ENTRIES,
  maxBytes = MAX_BYTES,
  maxTtlMs = Infinity,
}: MemoryCacheDeps): CacheStore => {
  const kept = createBoundedMap<Kept>({
    maxEntries,
    maxWeight: maxBytes,
    // a character takes two bytes unless all of them are Latin
    weigh: ({ key, value }) => 2 * (key.length + value.length) + ENTRY_BYTES,
    nowMs,
  })
  return {
    async getMany(keys) {
      return keys.map((key) => kept.get(key)?.value ?? null)
    },
    async setMany(entries) {
      const now = nowMs()
      for (const { key, value, ttlMs } of entries) {
        kept.set(key, { key, value }, now + Math.min(ttlMs, maxTtlMs))
      }
    },
    async delete(keys) {
      for (const key of keys) kept.delete(key)
    },
    async clear(prefix) {
      return kept.keys().filter((key) => key.startsWith(prefix) && kept.delete(key)).length
    },
  }
}
