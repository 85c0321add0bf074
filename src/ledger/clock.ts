/** The database's time, kept between replies by a monotonic clock. */
export type DatabaseClock = {
  /** Ms since the epoch; 0 until a reply was seen. */
  now(): number
  /** Takes in a reply that carries the database's time. */
  learn(reply: { databaseMs: number; sentMs: number; receivedMs: number }): void
}

/**
 * A reply made at `databaseMs` was on its way between `sentMs` and `receivedMs` of the monotonic
 * clock: the offset lies between the two differences, and moves no further than into that range.
 */
export function createDatabaseClock(monotonicMs: () => number): DatabaseClock {
  let offsetMs: number | null = null
  return {
    now: () => (offsetMs === null ? 0 : Math.floor(monotonicMs() + offsetMs)),
    learn({ databaseMs, sentMs, receivedMs }) {
      const least = databaseMs - receivedMs
      const most = databaseMs - sentMs
      offsetMs = offsetMs === null ? least : Math.min(Math.max(offsetMs, least), most)
    },
  }
}
