import { createBoundedMap } from '../bounded-map.js'
import { shortKey } from '../short-key.js'
import { type Limit, type LimitState, type RateLimitStore, stepMsOf } from './store.js'

/** Units taken in the step that began at this time; the oldest first. */
type Step = { readonly atMs: number; readonly count: number }

/** More identities than this at once are a flood; whoever was heard of longest ago is forgotten. */
const MAX_KEYS = 50_000
/** Some 50 bytes each: what all keys may take together. */
const MAX_STEPS = 500_000

export type MemoryRateLimitDeps = {
  /** Need not be the time of day, but must never go back. */
  readonly nowMs: () => number
  readonly maxKeys?: number
}

export type MemoryRateLimit = RateLimitStore & {
  /** What `take` would answer, taking none. */
  look(key: string, limit: Limit, cost: number): LimitState
  /** Gives what counts units that somebody else has allowed, as taken now. */
  reserve(key: string, limit: Limit, cost: number): () => void
}

/**
 * The limits of this process alone. Who goes on asking is never forgotten, also while refused: only
 * the keys used longest ago make room for new ones.
 */
export const createMemoryRateLimit = (deps: MemoryRateLimitDeps): MemoryRateLimit => {
  const { nowMs, maxKeys = MAX_KEYS } = deps
  const taken = createBoundedMap<readonly Step[]>({
    maxEntries: maxKeys,
    maxWeight: MAX_STEPS,
    weigh: (steps) => steps.length,
    nowMs,
  })
  const stepsOf = (name: string, limit: Limit, now: number) =>
    (taken.get(name) ?? []).filter((step) => leavesAtMs(step, limit) > now)
  const add = (name: string, limit: Limit, cost: number, now: number): readonly Step[] => {
    const stepMs = stepMsOf(limit)
    const steps = withUnits(stepsOf(name, limit, nowMs()), now - (now % stepMs), cost)
    taken.set(name, steps, nowMs() + stepMs + limit.windowMs)
    return steps
  }
  const look: MemoryRateLimit['look'] = (key, limit, cost) => {
    const now = nowMs()
    return stateOf(stepsOf(shortKey(key), limit, now), limit, now, cost)
  }
  return {
    look,
    async take(key, limit, cost) {
      const state = look(key, limit, cost)
      if (!state.isAllowed) return state
      const now = nowMs()
      return { ...stateOf(add(shortKey(key), limit, cost, now), limit, now, 0), isAllowed: true }
    },
    peek: async (key, limit) => look(key, limit, 1),
    reserve(key, limit, cost) {
      const now = nowMs()
      return () => void add(shortKey(key), limit, cost, now)
    },
  }
}

/** The steps with more units in one of them; in order, also when they come late. */
const withUnits = (steps: readonly Step[], atMs: number, count: number): readonly Step[] => {
  const index = steps.findLastIndex((step) => step.atMs <= atMs)
  const before = steps[index]
  if (before?.atMs !== atMs) return steps.toSpliced(index + 1, 0, { atMs, count })
  return steps.with(index, { atMs, count: before.count + count })
}

/** A unit of a step may have been taken in its last millisecond. */
const leavesAtMs = ({ atMs }: Step, limit: Limit): number =>
  atMs + stepMsOf(limit) - 1 + limit.windowMs

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
