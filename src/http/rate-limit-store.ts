import type { FastifyRateLimitStore, FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import type { RateLimitStore } from '../stores/rate-limit/store.js'

/**
 * Our sliding window as the store of @fastify/rate-limit. That one knows a count and when it ends:
 * a refused call is given as one above the limit, with the time until it could go through.
 */
export function pluginStore(store: RateLimitStore): FastifyRateLimitStoreCtor {
  const adapted: FastifyRateLimitStore = {
    incr(key, callback, windowMs, max) {
      store
        .take(key, { max, windowMs }, 1)
        .then(
          ({ isAllowed, remaining, resetMs, retryAfterMs }) =>
            isAllowed
              ? callback(null, { current: max - remaining, ttl: resetMs })
              : callback(null, { current: max + 1, ttl: retryAfterMs }),
          callback,
        )
    },
    // routes share the counts of their policy, which is part of the key
    child: () => adapted,
  }
  function Store() {
    return adapted
  }
  return Store as unknown as FastifyRateLimitStoreCtor
}
