import { createMemoryCache } from './cache/memory.js'
import { createMemoryCounters } from './counters/memory.js'
import { createMemoryRateLimit } from './rate-limit/memory.js'
import { createMemorySessions } from './session/memory.js'
import type { Stores } from './stores.js'

export type OpenStoresDeps = {
  /** The time of day that sessions are kept by, in ms. */
  readonly nowMs: () => number
  /** In ms, and never going back. */
  readonly monotonicMs: () => number
}

export type OpenStores = Stores & {
  /** Waits for what is under way, then lets go of the connections. */
  close(): Promise<void>
}

/** The stores of this process. */
export const openStores = ({ nowMs, monotonicMs }: OpenStoresDeps): OpenStores => ({
  rateLimit: createMemoryRateLimit({ nowMs: () => Math.floor(monotonicMs()) }),
  session: createMemorySessions({ nowMs }),
  cache: createMemoryCache({ nowMs: monotonicMs }),
  counters: createMemoryCounters({ nowMs: monotonicMs }),
  async close() {},
})
