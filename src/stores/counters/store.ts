export type Increment = {
  readonly counter: string
  /** Whole, may be negative. */
  readonly by: number
}

/** What nobody adds to or sets for so long is forgotten. */
export const COUNTER_TTL_MS = 90 * 86_400_000

/**
 * Running totals for reports: quick, shared by all processes, and rebuilt from the database when
 * they are lost. No decision about money reads them. What is added while the store is away is kept
 * by the process and added later; where an answer got lost, it may be added twice.
 */
export type CountersStore = {
  /** Adds to several counters, in one round trip. */
  add(increments: readonly Increment[]): Promise<void>
  /** The values in the order of the names; 0 for one never added to. */
  read(counters: readonly string[]): Promise<readonly number[]>
  /** Sets counters to what the database says, for a rebuild. */
  set(values: readonly { readonly counter: string; readonly value: number }[]): Promise<void>
  /** Adds to a member's score on a board. */
  score(board: string, member: string, by: number): Promise<void>
  /** The highest scores, highest first, ties by member; `limit` 1 to 1,000. */
  top(
    board: string,
    limit: number,
  ): Promise<readonly { readonly member: string; readonly score: number }[]>
  /** Notes members of a set whose size alone counts, such as visitors of a day. */
  mark(set: string, members: readonly string[]): Promise<void>
  /** How many different members were noted; an estimate with a standard error of 0.81 %. */
  distinct(set: string): Promise<number>
}
