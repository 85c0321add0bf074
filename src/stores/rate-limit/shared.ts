import { RedisAwayError } from '../link.js'
import type { MemoryRateLimit } from './memory.js'
import type { Limit, LimitState, RateLimitStore } from './store.js'

export type SharedRateLimitDeps = {
  readonly redis: RateLimitStore
  readonly memory: MemoryRateLimit
  readonly monotonicMs: () => number
}

/**
 * Redis decides for all processes; what it lets through is noted here too. So a process that loses
 * Redis goes on counting where it was; and when Redis returns without what was taken meanwhile, the
 * process holds to its own count as well, for as long as that matters.
 */
export const createSharedRateLimit = (deps: SharedRateLimitDeps): RateLimitStore => {
  const { redis, memory, monotonicMs } = deps
  let lastAwayMs = -Infinity
  const orHere = async (there: Promise<LimitState>, here: () => Promise<LimitState>) => {
    try {
      return await there
    } catch (error) {
      if (!(error instanceof RedisAwayError)) throw error
      lastAwayMs = monotonicMs()
      return here()
    }
  }
  const ask = async (key: string, limit: Limit, cost: number): Promise<LimitState> => {
    const note = memory.reserve(key, limit, cost)
    const state = await redis.take(key, limit, cost)
    if (state.isAllowed) note()
    return state
  }
  /** The refusal by what was counted here while Redis was away; null: ask Redis. */
  const refusalHere = (key: string, limit: Limit, cost: number): LimitState | null => {
    if (monotonicMs() - lastAwayMs >= 2 * limit.windowMs) return null
    const own = memory.look(key, limit, cost)
    return own.isAllowed ? null : own
  }
  return {
    take: async (key, limit, cost) =>
      refusalHere(key, limit, cost) ??
      orHere(ask(key, limit, cost), () => memory.take(key, limit, cost)),
    peek: async (key, limit) =>
      refusalHere(key, limit, 1) ?? orHere(redis.peek(key, limit), () => memory.peek(key, limit)),
  }
}
