/** What is run and timed, in the order of a round. Neighbours are compared with one another. */
export const SEGMENTS = [
  'pgbench',
  'charges',
  'replays',
  'refusals',
  'empty',
  'keyless',
  'limited',
  'redis-down',
  'hot',
  'pgbench-hot',
  'bulk',
  'caller',
  'commits',
] as const
export type SegmentName = (typeof SEGMENTS)[number]

export const ABOUT: Readonly<Record<SegmentName, string>> = {
  pgbench: 'pgbench, the charge as one statement, over all accounts',
  charges: 'charges over all accounts, each with its Idempotency-Key',
  replays: 'the same charges again, with the same keys',
  refusals: 'charges of which 30 % ask for more than there is',
  empty: 'the same requests to the same route without a ledger',
  keyless: 'charges without Idempotency-Key',
  limited: 'charges on behalf of users, whose limits Redis counts',
  'redis-down': 'the same while Redis is killed',
  hot: 'charges on one account',
  'pgbench-hot': 'pgbench, the same statement on one account',
  bulk: 'operations in bulk calls of 100',
  caller: 'one caller, one charge after the other',
  commits: 'one connection, one row inserted and committed, as often as the caller charges',
}

/** What a load gave. */
export type Figures = {
  /** Operations per second. */
  readonly rate: number
  readonly operations: number
  readonly p50Us: number | null
  readonly p99Us: number | null
  readonly statuses: Readonly<Record<string, number>>
}

/** What one segment of one round gave. */
export type Sample = Figures & {
  /** CPU time per operation. `generator` is the load's own process, or pgbench. */
  readonly cpuUs: {
    readonly service: number
    readonly postgres: number
    readonly generator: number
  }
  /** Processors that others kept busy meanwhile, of those the machine has. */
  readonly othersCpus: number
}

/** The segments of one round. */
export type Round = Partial<Record<SegmentName, Sample>>
