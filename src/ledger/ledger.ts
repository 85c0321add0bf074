import type pg from 'pg'
import { withRetries } from '../db/transaction.js'
import { createDatabaseClock, type DatabaseClock } from './clock.js'
import { type LaneDeps, type LaneTime, timed } from './lane.js'
import { createLanes } from './lanes.js'
import type { AccountState, Operation, Outcome } from './model.js'
import { emptyContext, knownFrom, whatToLoad } from './needs.js'
import { type Answer, planBatch } from './plan.js'
import type { LedgerPort, LoadReply, LoadRequest } from './port.js'
import { createReadTogether } from './read-together.js'
import { settled } from './rules.js'
import { createWriter } from './writer.js'

/** The one door through which credits move. */
export type Ledger = {
  /**
   * Applies one operation, durably, exactly once under its key. Throws AppError for a refusal
   * (then nothing happened) and `outcome_unknown` when the database could not tell in time (then
   * the same key asks again). Safe to repeat with the same key and digest.
   */
  submit(operation: Operation): Promise<Outcome>
  /** What `submit` would answer now; writes nothing and takes no key. Throws as it would. */
  preview(operation: Operation): Promise<Outcome>
  /** The account as of now, with what is due already gone; null when it was never opened. */
  read(accountId: string): Promise<AccountState | null>
  /** The database's time, as far as it is known here, in ms since the epoch. */
  now(): number
  /** Work in hand, for metrics and back-pressure. */
  stats(): LedgerStats
  /** Refuses new operations, finishes those accepted. */
  close(): Promise<void>
}

export type LedgerStats = {
  readonly queued: number
  readonly inFlight: number
  readonly cachedAccounts: number
  readonly lanes: number
  /** Those with a batch in flight, or about to have one. */
  readonly lanesBusy: number
}

export type LedgerDeps = Pick<LaneDeps, 'limits' | 'told' | 'onFault' | 'onBatch'> & {
  /** Of its own, so that nobody's reads keep a charge waiting; at least lanes + MAX_ALONE. */
  readonly pool: pg.Pool
  /** Where `read` and `preview` ask; without it, the ledger's own. */
  readonly readPool?: pg.Pool
  readonly time: LaneTime
}

/** The ledger over PostgreSQL. Learns the database's time before it answers anything. */
export async function createLedger({ pool, readPool, ...deps }: LedgerDeps): Promise<Ledger> {
  const port = createWriter(pool)
  const clock = createDatabaseClock(deps.time.monotonicMs)
  const lanes = createLanes({ ...deps, port, clock })
  const { timeoutMs: deadlineMs } = deps.limits
  const looking = {
    port: readPool ? createWriter(readPool) : port,
    clock,
    time: deps.time,
    deadlineMs,
  }
  await load(looking, [])
  const { soon } = deps.time
  const readOne = createReadTogether({ load: (accountIds) => load(looking, accountIds), soon })
  return {
    submit: lanes.submit,
    preview: (operation) => preview(looking, operation),
    read: async (accountId) => {
      const { state, nowMs } = await readOne(accountId)
      return state && settled(state, nowMs)
    },
    now: clock.now,
    stats: lanes.stats,
    close: lanes.close,
  }
}

type Looking = {
  readonly port: LedgerPort
  readonly clock: DatabaseClock
  readonly time: LaneTime
  readonly deadlineMs: number
}

/** Loads without a claim on anything, and so again when what went wrong may pass. */
function look({ port, clock, time, deadlineMs }: Looking, request: LoadRequest) {
  const { monotonicMs: now, sleep, random } = time
  const attempt = () => timed({ clock, time }, () => port.load(request))
  return withRetries(attempt, { deadlineMs, now, sleep, random })
}

const load = (looking: Looking, accounts: readonly string[]): Promise<LoadReply> =>
  look(looking, { accounts, keys: [], charges: [], holds: [], lots: [] })

async function preview(looking: Looking, operation: Operation): Promise<Outcome> {
  const entry = { operation, lookUp: false }
  const request = { ...whatToLoad([entry], () => undefined), keys: [] }
  const reply = await look(looking, request)
  const known = knownFrom(request, reply).get(operation.accountId)
  const at = { epoch: reply.epoch, nowMs: reply.nowMs }
  const nothing = { state: null, isFresh: true, rows: new Map(), context: emptyContext() }
  const { answers } = planBatch([entry], () => known ?? nothing, at)
  const answer: Answer | undefined = answers.get(operation.accountId)?.[0]?.answer
  if (!answer) throw new Error('an operation was not decided')
  if (answer.error) throw answer.error
  return answer.outcome
}
