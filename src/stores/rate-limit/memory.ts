import { createBoundedMap } from '../bounded-map.js'
import { shortKey } from '../short-key.js'
import { type Limit, type LimitState, type RateLimitStore, stepMsOf } from './store.js'

/** Units taken in the step that began at this time; the oldest first. */
type Step = { readonly atMs: number; count: number }

/** More identities than this at once are a flood; whoever was heard of longest ago is forgotten. */
const MAX_KEYS = 50_000
/** Some 50 bytes each: what all keys may take together. */
const MAX_STEPS = 500_000

export type MemoryRateLimitDeps = {
  /** Need not be the time of day, but must never go back. */
  readonly nowMs: () => number
  readonly maxKeys?: number
}

/**
 * The limits of this process alone. Who goes on asking is never forgotten, also while refused: only
 * the keys used longest ago make room for new ones.
 */
export const createMemoryRateLimit = ({
  nowMs,
  maxKeys = MAX_KEYS,
}: MemoryRateLimitDeps): RateLimitStore => {
  const taken = createBoundedMap<Step[]>({
    maxEntries: maxKeys,
    maxWeight: MAX_STEPS,
    weigh: (steps) => steps.length,
    nowMs,
  })
  return {
    async take(key, limit, cost) {
      const now = nowMs()
      const name = shortKey(key)
      const steps = stillCounted(taken.get(name) ?? [], limit, now)
      if (sumOf(steps) + cost > limit.max) return stateOf(steps, limit, now, cost)
      const stepMs = stepMsOf(limit)
      const atMs = now - (now % stepMs)
      const last = steps.at(-1)
      if (last?.atMs === atMs) last.count += cost
      else steps.push({ atMs, count: cost })
      taken.set(name, steps, now + stepMs + limit.windowMs)
      return { ...stateOf(steps, limit, now, 0), isAllowed: true }
    },
    async peek(key, limit) {
      const now = nowMs()
      return stateOf(stillCounted(taken.get(shortKey(key)) ?? [], limit, now), limit, now, 1)
    },
  }
}

/** A unit of a step may have been taken in its last millisecond. */
const leavesAtMs = ({ atMs }: Step, limit: Limit): number =>
  atMs + stepMsOf(limit) - 1 + limit.windowMs

const stillCounted = (steps: readonly Step[], limit: Limit, now: number): Step[] =>
  steps.filter((step) => leavesAtMs(step, limit) > now)

const sumOf = (steps: readonly Step[]): number => steps.reduce((sum, { count }) => sum + count, 0)

/** How things stand for one who wants `cost` units more. */
const stateOf = (steps: readonly Step[], limit: Limit, now: number, cost: number): LimitState => {
  const used = sumOf(steps)
  const [oldest] = steps
  const waitsFor = firstAfter(steps, used + cost - limit.max)
  return {
    isAllowed: waitsFor === null,
    remaining: Math.max(0, limit.max - used),
    resetMs: oldest === undefined ? 0 : leavesAtMs(oldest, limit) - now,
    retryAfterMs: waitsFor === null ? 0 : leavesAtMs(waitsFor, limit) - now,
  }
}

/** The step with which so many units have left; null when none need to leave. */
const firstAfter = (steps: readonly Step[], excess: number): Step | null => {
  if (excess <= 0) return null
  let left = 0
  for (const step of steps) {
    left += step.count
    if (left >= excess) return step
  }
  return steps.at(-1) ?? null
}
