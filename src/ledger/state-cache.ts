import type { AccountState } from './model.js'

/** The states a lane wrote last, bounded by the number of lots and holds in them. */
export type StateCache = {
  get(accountId: string): AccountState | undefined
  put(state: AccountState): void
  delete(accountId: string): void
  clear(): void
  size(): number
}

/** What is left when the cache was full: room for many before it is full again. */
const KEPT_SHARE = 0.9

const partsOf = (state: AccountState): number => 1 + state.lots.length + state.holds.length

/** Keeps the most recently used states; `maxParts` counts one for each account, lot and hold. */
export function createStateCache(maxParts: number): StateCache {
  const states = new Map<string, AccountState>()
  let parts = 0

  function remove(accountId: string): void {
    const state = states.get(accountId)
    if (!state) return
    states.delete(accountId)
    parts -= partsOf(state)
  }

  /** Many at once: the first key of a map is found past all that were deleted before it. */
  function evict(): void {
    const keptParts = Math.floor(maxParts * KEPT_SHARE)
    for (const oldest of states.keys()) {
      if (parts <= keptParts) return
      remove(oldest)
    }
  }

  return {
    get: (accountId) => states.get(accountId),
    put(state) {
      remove(state.accountId)
      states.set(state.accountId, state)
      parts += partsOf(state)
      if (parts > maxParts) evict()
    },
    delete: remove,
    clear() {
      states.clear()
      parts = 0
    },
    size: () => states.size,
  }
}
