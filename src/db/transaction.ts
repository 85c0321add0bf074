import { setTimeout as delay } from 'node:timers/promises'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import type pg from 'pg'
import { AppError } from '../errors.js'
import { isConnectionLost, isRetryable } from './errors.js'

const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 5_000

/** Drizzle on the one connection of a transaction. */
export type Transaction = NodePgDatabase

/** Writes something more in the transaction of a work whose result is known by then. */
export type Beside<T> = (tx: Transaction, result: T) => Promise<void>

export type RetryOptions = {
  /** How long all attempts together may take. */
  readonly deadlineMs: number
  readonly sleep?: (ms: number) => Promise<unknown>
  /** In [0, 1). */
  readonly random?: () => number
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number
  readonly onRetry?: (error: unknown, attempt: number) => void
}

export type TransactionOptions = RetryOptions & {
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable'
  /**
   * Whether running `act` twice is harmless (it claims a key, or only reads). Otherwise a
   * connection lost while committing is `outcome_unknown` and is not tried again.
   */
  readonly isRepeatable?: boolean
}

/**
 * Runs `act` and runs it again while it fails with what may pass (see isRetryable): after 100 ms,
 * doubling up to 5 s, jittered, until the deadline. Throws the last failure as it came.
 */
export const withRetries = async <T>(
  act: (attempt: number) => Promise<T>,
  options: RetryOptions,
): Promise<T> => {
  const { sleep = delay, random = Math.random, now = () => performance.now() } = options
  const endMs = now() + options.deadlineMs
  for (let attempt = 1; ; attempt++) {
    try {
      return await act(attempt)
    } catch (error) {
      const pauseMs = pauseBefore(attempt, random)
      if (!isRetryable(error) || now() + pauseMs >= endMs) throw error
      options.onRetry?.(error, attempt)
      await sleep(pauseMs)
    }
  }
}

/**
 * Runs `act` in one transaction, with the retries of withRetries. Throws `outcome_unknown` when the
 * connection was lost at the commit, unless `isRepeatable`.
 */
export const inTransaction = <T>(
  db: { readonly pool: pg.Pool },
  act: (tx: Transaction) => Promise<T>,
  options: TransactionOptions,
): Promise<T> => withRetries(() => attemptTransaction(db.pool, act, options), options)

const attemptTransaction = async <T>(
  pool: pg.Pool,
  act: (tx: Transaction) => Promise<T>,
  options: TransactionOptions,
): Promise<T> => {
  const client = await pool.connect()
  let isCommitting = false
  try {
    await client.query(`begin isolation level ${options.isolation ?? 'read committed'}`)
    const result = await act(drizzle(client))
    isCommitting = true
    await client.query('commit')
    client.release()
    return result
  } catch (error) {
    await giveBack(client, isCommitting || isConnectionLost(error))
    if (isCommitting && !options.isRepeatable && isConnectionLost(error)) throw unknownOutcome()
    throw error
  }
}

/** A connection whose state is in doubt is closed rather than handed to the next caller. */
const giveBack = async (client: pg.PoolClient, isDoubtful: boolean): Promise<void> => {
  if (isDoubtful) return client.release(true)
  await client.query('rollback').then(
    () => client.release(),
    () => client.release(true),
  )
}

// the lost connection is not its cause: that would make it look worth another attempt
const unknownOutcome = () =>
  new AppError('outcome_unknown', 'The outcome is not known yet; ask again before repeating')

/** Equal jitter: at least half of the doubled pause, so that a retry never comes at once. */
const pauseBefore = (attempt: number, random: () => number): number => {
  const fullMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1))
  return fullMs / 2 + (random() * fullMs) / 2
}
