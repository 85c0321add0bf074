import type { CacheStore } from './cache/store.js'
import type { CountersStore } from './counters/store.js'
import type { RateLimitStore } from './rate-limit/store.js'
import type { SessionStore } from './session/store.js'

/** Where short-lived state lives: Redis while it answers, else bounded memory of this process. */
export type Stores = {
  readonly rateLimit: RateLimitStore
  readonly session: SessionStore
  readonly cache: CacheStore
  readonly counters: CountersStore
}
