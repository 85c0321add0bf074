import type pg from 'pg'
import { type RetryOptions, withRetries } from './transaction.js'

/** What a read needs of a pool; a plain pool will do, without retries. */
export type Reader = {
  query<R extends pg.QueryResultRow>(
    statement: pg.QueryConfig,
    values?: unknown[],
  ): Promise<pg.QueryResult<R>>
}

export type ReaderOptions = Omit<RetryOptions, 'onRetry'> & {
  /** Reads that wait for another attempt at once; beyond it a failure is told at once. */
  readonly maxWaiting?: number
}

const MAX_WAITING = 1_000

const READ = /^\s*(select|with)\b/i
const WRITE = /\b(insert\s+into|update\s+\S+\s+set|delete\s+from|for\s+(no\s+key\s+)?update)\b/i

/**
 * Single statements that only read, and so may be done twice: what fails because a connection was
 * lost, the server restarted or others were in the way is done again (see withRetries), until the
 * deadline. Refuses a statement that writes: that is a mistake of ours.
 */
export const createReader = (
  pool: Reader,
  { maxWaiting = MAX_WAITING, ...options }: ReaderOptions,
): Reader => {
  let waiting = 0
  return {
    async query<R extends pg.QueryResultRow>(statement: pg.QueryConfig, values?: unknown[]) {
      if (!READ.test(statement.text) || WRITE.test(statement.text)) {
        throw new Error('a reader was given a statement that writes')
      }
      let hasWaited = false
      const onRetry = (error: unknown) => {
        if (hasWaited) return
        // while the database is away, requests must not pile up without end
        if (waiting >= maxWaiting) throw error
        hasWaited = true
        waiting += 1
      }
      const attempt = () => pool.query<R>(statement, values)
      return withRetries(attempt, { ...options, onRetry }).finally(() => {
        if (hasWaited) waiting -= 1
      })
    },
  }
}
