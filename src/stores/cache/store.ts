export type CacheEntry = {
  readonly key: string
  readonly value: string
  /** 1 to 86,400,000. */
  readonly ttlMs: number
}

/** How long what changes at any time is kept, and what hardly ever does. */
export const VOLATILE_TTL_MS = 30_000
export const STATIC_TTL_MS = 3_600_000

/** What begins so is also kept by a process whose Redis is away: for packages, plans, prices. */
export const CATALOGUE_PREFIX = 'catalogue:'

/**
 * Values that can be made again, kept for a while: an entry may be missing at any time, and is
 * never older than its time to live. Keys carry the version of what they were made from (a `seq`, a
 * catalogue's version), so that an old value is never found under a new state: nothing has to be
 * invalidated, and nothing can be missed.
 */
export type CacheStore = {
  /** The values in the order of the keys, null where there is none; one round trip for all. */
  getMany(keys: readonly string[]): Promise<readonly (string | null)[]>
  setMany(entries: readonly CacheEntry[]): Promise<void>
  delete(keys: readonly string[]): Promise<void>
  /** Deletes every key that begins so, a page at a time; how many there were. */
  clear(prefix: string): Promise<number>
}
