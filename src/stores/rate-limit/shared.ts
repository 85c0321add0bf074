import { RedisAwayError } from '../link.js'
import type { MemoryRateLimit } from './memory.js'
import type { LimitState, RateLimitStore } from './store.js'

export type SharedRateLimitDeps = {
  readonly redis: RateLimitStore
  readonly memory: MemoryRateLimit
}

/**
 * Redis decides for all processes; what it lets through is noted here too. So the process that has
 * lost Redis goes on counting where it was, and never gives more than `max` itself, however often
 * Redis comes and goes. Who has taken all of it here already is refused without asking further.
 */
export const createSharedRateLimit = ({ redis, memory }: SharedRateLimitDeps): RateLimitStore => {
  const orHere = async (there: Promise<LimitState>, here: () => Promise<LimitState>) => {
    try {
      return await there
    } catch (error) {
      if (error instanceof RedisAwayError) return here()
      throw error
    }
  }
  return {
    async take(key, limit, cost) {
      const own = memory.look(key, limit, cost)
      if (!own.isAllowed) return own
      const note = memory.reserve(key, limit, cost)
      return orHere(
        redis.take(key, limit, cost).then((state) => {
          if (state.isAllowed) note()
          return state
        }),
        () => memory.take(key, limit, cost),
      )
    },
    peek: (key, limit) => orHere(redis.peek(key, limit), () => memory.peek(key, limit)),
  }
}
