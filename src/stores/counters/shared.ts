import { type Link, RedisAwayError } from '../link.js'
import type { CountersStore } from './store.js'

export type SharedCountersDeps = {
  readonly redis: CountersStore
  readonly memory: CountersStore
  readonly link: Link
}

/** What has been added while Redis was away, summed up. */
type Journal = {
  readonly counters: Map<string, number>
  readonly scores: Map<string, { board: string; member: string; by: number }>
  readonly marks: Map<string, Set<string>>
}

/** Of each kind; what is beyond is in the database, from which the counters can be rebuilt. */
const MAX_WAITING = 20_000
const CROWD = 200

/** Counts in Redis; while it is away in memory, from where it is added when Redis returns. */
export const createSharedCounters = ({
  redis,
  memory,
  link,
}: SharedCountersDeps): CountersStore => {
  const journal: Journal = { counters: new Map(), scores: new Map(), marks: new Map() }
  const orHere = async <T>(there: Promise<T>, here: () => Promise<T>): Promise<T> => {
    try {
      return await there
    } catch (error) {
      if (error instanceof RedisAwayError) return here()
      throw error
    }
  }
  const store: CountersStore = {
    add: (increments) =>
      orHere(redis.add(increments), async () => {
        for (const { counter, by } of increments) noteSum(journal.counters, counter, by)
        await memory.add(increments)
      }),
    read: (counters) => orHere(redis.read(counters), () => memory.read(counters)),
    set: (values) =>
      orHere(redis.set(values), async () => {
        // the total that was set has what was added before
        for (const { counter } of values) journal.counters.delete(counter)
        await memory.set(values)
      }),
    score: (board, member, by) =>
      orHere(redis.score(board, member, by), async () => {
        noteScore(journal, board, member, by)
        await memory.score(board, member, by)
      }),
    top: (board, limit) => orHere(redis.top(board, limit), () => memory.top(board, limit)),
    mark: (set, members) =>
      orHere(redis.mark(set, members), async () => {
        noteMarks(journal, set, members)
        await memory.mark(set, members)
      }),
    distinct: (set) => orHere(redis.distinct(set), () => memory.distinct(set)),
  }
  link.onChange((isUp) => {
    if (isUp) void addLater(journal, store)
  })
  return store
}

const noteSum = (sums: Map<string, number>, name: string, by: number): void => {
  const before = sums.get(name)
  if (before !== undefined || sums.size < MAX_WAITING) sums.set(name, (before ?? 0) + by)
}

const noteScore = ({ scores }: Journal, board: string, member: string, by: number): void => {
  const name = `${board.length} ${board} ${member}`
  const waiting = scores.get(name)
  if (waiting !== undefined) waiting.by += by
  else if (scores.size < MAX_WAITING) scores.set(name, { board, member, by })
}

const noteMarks = ({ marks }: Journal, set: string, members: readonly string[]): void => {
  const waiting = marks.get(set) ?? new Set<string>()
  for (const member of members) if (sizeOf(marks) < MAX_WAITING) waiting.add(member)
  marks.set(set, waiting)
}

const sizeOf = (marks: Journal['marks']): number =>
  [...marks.values()].reduce((sum, { size }) => sum + size, marks.size)

/** Adds what waits; what finds Redis away again is noted once more by the store itself. */
const addLater = async (journal: Journal, store: CountersStore): Promise<void> => {
  const sums = [...journal.counters].map(([counter, by]) => ({ counter, by }))
  const scores = [...journal.scores.values()]
  const marks = [...journal.marks]
  journal.counters.clear()
  journal.scores.clear()
  journal.marks.clear()
  const work = [
    ...crowdsOf(sums).map((crowd) => () => store.add(crowd)),
    ...scores.map(
      ({ board, member, by }) =>
        () =>
          store.score(board, member, by),
    ),
    ...marks.flatMap(([set, members]) =>
      crowdsOf([...members]).map((crowd) => () => store.mark(set, crowd)),
    ),
  ]
  for (const crowd of crowdsOf(work)) {
    // one that fails is lost for the counters and kept in the database
    await Promise.allSettled(crowd.map((act) => act()))
  }
}

const crowdsOf = <T>(items: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(items.length / CROWD) }, (_none, index) =>
    items.slice(index * CROWD, (index + 1) * CROWD),
  )
