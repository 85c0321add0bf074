import { AppError } from '../errors.js'
import type { Told } from './announce-rules.js'
import type { DatabaseClock } from './clock.js'
import type { AccountState, Operation } from './model.js'
import { type KnownAccount, knownFrom } from './needs.js'
import type { Answer } from './plan.js'
import type { LedgerPort, LoadReply, LoadRequest } from './port.js'
import type { StateCache } from './state-cache.js'

/** What an operation counts beside its metadata. */
const BASE_BYTES = 512

export type LaneLimits = {
  readonly lanes: number
  /** Operations in one batch. */
  readonly batchOperations: number
  readonly batchBytes: number
  /** Operations waiting or in flight, all lanes together. */
  readonly queueOperations: number
  /** From acceptance to the answer. */
  readonly timeoutMs: number
  /** Account states kept, counted by their lots and holds. */
  readonly cachedParts: number
}

export type LaneTime = {
  monotonicMs(): number
  sleep(ms: number): Promise<void>
  /** Runs `task` when the requests that have arrived together are all in. */
  soon(task: () => void): void
  /** In [0, 1), for jitter. */
  random(): number
}

export type LaneDeps = {
  readonly port: LedgerPort
  readonly clock: DatabaseClock
  readonly time: LaneTime
  readonly limits: LaneLimits
  /** What the accounts' owners are told of; by default nothing. */
  readonly told?: Told
  /** An operation failed for a reason that is not the client's. */
  onFault(error: unknown, operation: Operation): void
  onBatch(batch: { operations: number; durationMs: number; refusedAccounts: number }): void
}

/** An operation between its acceptance and its answer. */
export type Ticket = {
  readonly operation: Operation
  readonly deadlineMs: number
  readonly bytes: number
  lookUp: boolean
  /** An append that may contain it has been sent, and it is not known what became of it. */
  isSent: boolean
  /** An append with it was lost, and the ledger has not been asked about it since. */
  isLost: boolean
  isDone: boolean
  /** How often in a row its account was refused. */
  refusals: number
  readonly answer: (answer: Answer) => void
}

export type Lane = {
  queue: Ticket[]
  isBusy: boolean
  /** Many of its last operations were repeats: it looks keys up before it decides. */
  expectsRepeats: boolean
  readonly cache: StateCache
  /** Accounts that are done alone; what arrives for them waits here. */
  readonly parked: Map<string, Ticket[]>
}

/** What the lanes share. */
export type Yard = {
  readonly deps: LaneDeps
  readonly lanes: readonly Lane[]
  readonly open: Set<Ticket>
  /** Of the last load; empty: not known, so load first. */
  epoch: string
  /** The failure that keeps operations waiting, if any. */
  trouble: Error | null
  /** Accounts that are being done alone now, and those that wait for their turn. */
  readonly alone: { running: number; readonly waiting: (() => void)[] }
  wake(lane: Lane): void
}

/** A ticket that takes one answer only. It is not called refused while it may have been done. */
export function createTicket(
  operation: Operation,
  deadlineMs: number,
  onAnswer: (ticket: Ticket, answer: Answer) => void,
): Ticket {
  const { metadata } = operation
  const ticket: Ticket = {
    operation,
    deadlineMs,
    bytes: BASE_BYTES + (metadata === null ? 0 : JSON.stringify(metadata).length),
    lookUp: false,
    isSent: false,
    isLost: false,
    isDone: false,
    refusals: 0,
    answer(answer) {
      if (ticket.isDone) return
      ticket.isDone = true
      const isOpen = ticket.isSent || ticket.isLost
      onAnswer(ticket, answer.error && isOpen ? { error: outcomeUnknown(answer.error) } : answer)
    },
  }
  return ticket
}

export const notDone = (ticket: Ticket): boolean => !ticket.isDone

/** Puts tickets before all others that wait. */
export function rejoin(lane: Lane, tickets: readonly Ticket[]): void {
  const waiting = tickets.filter(notDone)
  if (waiting.length > 0) lane.queue = [...waiting, ...lane.queue]
}

export function takeIn(
  yard: Yard,
  request: LoadRequest,
  reply: LoadReply,
  kept?: (accountId: string) => AccountState | undefined,
): Map<string, KnownAccount> {
  if (reply.epoch !== yard.epoch) forgetEpoch(yard)
  yard.epoch = reply.epoch
  yard.trouble = null
  return knownFrom(request, reply, kept)
}

/** A restore or rollback came between: nothing that is kept is true any more. */
export function forgetEpoch(yard: Yard): void {
  yard.epoch = ''
  for (const lane of yard.lanes) lane.cache.clear()
}

/**
 * The fence came before the load: what is not in the ledger now was not done, and will not be. Not
 * so in an account that is not there: without a row there is nothing to fence.
 */
export function markNotDone(
  tickets: readonly Ticket[],
  known: (accountId: string) => KnownAccount,
): void {
  for (const ticket of tickets) {
    const { accountId, key, digest } = ticket.operation
    const { state, rows } = known(accountId)
    if (state && rows.get(key)?.digest !== digest) ticket.isLost = false
  }
}

/** Makes a call whose reply carries the database's time, and learns it. */
export async function timed<T extends { nowMs: number }>(
  { clock, time }: Pick<LaneDeps, 'clock' | 'time'>,
  call: () => Promise<T>,
): Promise<T> {
  const sentMs = time.monotonicMs()
  const reply = await call()
  clock.learn({ databaseMs: reply.nowMs, sentMs, receivedMs: time.monotonicMs() })
  return reply
}

const RETRY_AFTER = { retryAfterSeconds: 1 }

export const overloaded = (message: string): AppError =>
  new AppError('overloaded', message, RETRY_AFTER)

export const maintenance = (): AppError =>
  new AppError('maintenance', 'Writes are stopped; reads go on', { retryAfterSeconds: 30 })

export function unavailable(cause: unknown): AppError {
  const message = 'The database can not take writes now'
  return new AppError('database_unavailable', message, RETRY_AFTER, cause)
}

/** What a ticket is told whose deadline has passed. */
export function tooLate(yard: Yard): AppError {
  if (yard.trouble) return unavailable(yard.trouble)
  return overloaded('Others were before it for too long; nothing was done')
}

const outcomeUnknown = (cause: unknown): AppError =>
  new AppError(
    'outcome_unknown',
    'The database has not told yet whether this was done: ask again with the same key',
    RETRY_AFTER,
    cause,
  )
