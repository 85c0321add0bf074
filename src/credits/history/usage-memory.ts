import type { UsageGroup, UsageMemory, UsageRows } from '../../ledger/usage.js'
import { type CacheStore, STATIC_TTL_MS } from '../../stores/cache/store.js'

/** Reports of fewer rows are made as quickly as they are fetched. */
const LEAST_ROWS = 1_000
/** Larger ones would take Redis longer than a request may wait for it. */
const MAX_CHARACTERS = 262_144

/**
 * Reports in the cache, by the rows they were made of: a write is a further row and so another
 * key, and a reader never finds less than was written. See docs/decisions/0006.
 */
export const createUsageMemory = (cache: CacheStore): UsageMemory => ({
  async find(rows) {
    if (rows.lastSeq - rows.afterSeq < LEAST_ROWS) return null
    const [text] = await cache.getMany([keyOf(rows)])
    return text ? groupsIn(text) : null
  },
  keep(rows, groups) {
    if (rows.lastSeq - rows.afterSeq < LEAST_ROWS) return
    const value = JSON.stringify(groups)
    if (value.length > MAX_CHARACTERS) return
    // nobody waits for it, and nothing is lost when it fails
    cache.setMany([{ key: keyOf(rows), value, ttlMs: STATIC_TTL_MS }]).catch(() => {})
  },
})

const keyOf = ({ epoch, accountId, afterSeq, lastSeq, groupBy }: UsageRows): string =>
  `usage:${epoch}:${accountId}:${afterSeq}-${lastSeq}:${groupBy}`

/** What others may have written there in the meantime is no reason to fail. */
const groupsIn = (text: string): readonly UsageGroup[] | null => {
  try {
    const groups: unknown = JSON.parse(text)
    return Array.isArray(groups) && groups.every(isGroup) ? groups : null
  } catch {
    return null
  }
}

const isGroup = (value: unknown): value is UsageGroup => {
  const { group, charged, refunded, count } = (value ?? {}) as Partial<UsageGroup>
  const isNamed = group === null || typeof group === 'string'
  return isNamed && [charged, refunded, count].every(Number.isSafeInteger)
}
