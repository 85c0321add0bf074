import { createBoundedMap } from '../bounded-map.js'
import { createDistinct, type Distinct } from './distinct.js'
import { COUNTER_TTL_MS, type CountersStore } from './store.js'

const MAX_COUNTERS = 50_000
const MAX_BOARDS = 1_000
/** Of all boards together. */
const MAX_SCORES = 100_000
/** Up to 16 KiB each. */
const MAX_SETS = 1_000

export type MemoryCountersDeps = {
  readonly nowMs: () => number
  readonly maxCounters?: number
  readonly maxScores?: number
}

/** The counters of this process alone; what was added to longest ago makes room. */
export const createMemoryCounters = (deps: MemoryCountersDeps): CountersStore => {
  const { nowMs, maxCounters = MAX_COUNTERS, maxScores = MAX_SCORES } = deps
  const counters = createBoundedMap<number>({ maxEntries: maxCounters, nowMs })
  const boards = createBoundedMap<Map<string, number>>({
    maxEntries: MAX_BOARDS,
    maxWeight: maxScores,
    weigh: (scores) => scores.size,
    nowMs,
  })
  const sets = createBoundedMap<Distinct>({ maxEntries: MAX_SETS, nowMs })
  const expiry = () => nowMs() + COUNTER_TTL_MS
  return {
    async add(increments) {
      for (const { counter, by } of increments) {
        counters.set(counter, (counters.get(counter) ?? 0) + by, expiry())
      }
    },
    async read(names) {
      return names.map((name) => counters.get(name) ?? 0)
    },
    async set(values) {
      for (const { counter, value } of values) counters.set(counter, value, expiry())
    },
    async score(board, member, by) {
      const scores = boards.get(board) ?? new Map<string, number>()
      if (!scores.has(member) && scores.size >= maxScores) scores.delete(lowestOf(scores))
      scores.set(member, (scores.get(member) ?? 0) + by)
      boards.set(board, scores, expiry())
    },
    async top(board, limit) {
      const scores = [...(boards.get(board) ?? [])].map(([member, score]) => ({ member, score }))
      return scores.sort(byScore).slice(0, limit)
    },
    async mark(name, members) {
      const seen = sets.get(name) ?? createDistinct()
      for (const member of members) seen.add(member)
      sets.set(name, seen, expiry())
    },
    async distinct(name) {
      return sets.get(name)?.count() ?? 0
    },
  }
}

type Score = { readonly member: string; readonly score: number }

/** Highest first, equal ones by their member's bytes. */
export const byScore = (a: Score, b: Score): number =>
  b.score - a.score || Buffer.compare(Buffer.from(a.member), Buffer.from(b.member))

const lowestOf = (scores: ReadonlyMap<string, number>): string =>
  [...scores].reduce((low, entry) => (entry[1] < low[1] ? entry : low))[0]
