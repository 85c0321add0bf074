import type pg from 'pg'
import type { BaseLogger } from 'pino'

/** Enough to recognise a statement by; a bulk insert can be megabytes. */
const MAX_STATEMENT_LENGTH = 1_000

export type SlowQueryOptions = {
  readonly thresholdMs: number
  readonly log: Pick<BaseLogger, 'warn'>
  /** A monotonic clock in milliseconds. */
  readonly now: () => number
}

type QueryArgument = string | { text?: string; submit?: unknown } | undefined
type Callback = (...outcome: unknown[]) => void
type AnyQuery = (...args: unknown[]) => unknown

/**
 * Logs each statement of this connection that takes `thresholdMs` or longer, succeed or fail.
 * Parameters are never read; literals in the statement's text are blanked.
 */
export const watchSlowQueries = (client: pg.ClientBase, options: SlowQueryOptions): void => {
  const { thresholdMs, log, now } = options
  const query = client.query.bind(client) as AnyQuery
  const report = (config: QueryArgument, startedMs: number): void => {
    const durationMs = now() - startedMs
    if (durationMs < thresholdMs) return
    const text = typeof config === 'string' ? config : (config?.text ?? '')
    log.warn(
      { statement: redactStatement(text), durationMs: Math.round(durationMs) },
      'Slow query detected',
    )
  }
  const watched: AnyQuery = (...args) => {
    const config = args[0] as QueryArgument
    const startedMs = now()
    const last = args.findLastIndex((arg) => typeof arg === 'function')
    if (last > 0) {
      const callback = args[last] as Callback
      args[last] = (...outcome: unknown[]) => {
        report(config, startedMs)
        callback(...outcome)
      }
      return query(...args)
    }
    const result = query(...args)
    // cursors and copy streams come back as they went in: their time is the reader's
    if (!(result instanceof Promise)) return result
    const settled = () => report(config, startedMs)
    result.then(settled, settled)
    return result
  }
  client.query = watched as typeof client.query
}

/** The statement with every literal blanked, on one line, cut to a bounded length. */
export const redactStatement = (text: string): string => {
  const head = text.slice(0, MAX_STATEMENT_LENGTH * 4)
  const blanked = head
    .replace(/\$([a-z_]*)\$[\s\S]*?(?:\$\1\$|$)/gi, '?')
    .replace(/\bE'(?:[^'\\]|\\.|'')*(?:'|$)/gi, '?')
    .replace(/'(?:[^']|'')*(?:'|$)/g, '?')
    .replace(/(?<![\w$."])\d+(?:\.\d+)?(?!\w)/g, '?')
    .replace(/\s+/g, ' ')
    .trim()
  return blanked.length <= MAX_STATEMENT_LENGTH
    ? blanked
    : `${blanked.slice(0, MAX_STATEMENT_LENGTH)}…`
}
