import { AppError } from '../errors.js'

/** An error wrapped deeper than this is nobody's doing here; the bound stops a cyclic cause. */
const MAX_CAUSES = 8

const CONNECTION_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
])

// pg gives these no code
const CONNECTION_MESSAGES = [
  /^Connection terminated/,
  /^Client has encountered a connection error/,
  /^Client was closed/,
  /^timeout expired$/,
  /^Query read timeout$/,
]

/** What node-postgres needs to say "this is a standby": as if the server itself had refused. */
export const READ_ONLY_STATE = '25006'

/** The SQLSTATE the server gave, looking through wrappers such as Drizzle's; null: none of them. */
export const sqlStateOf = (error: unknown): string | null => {
  for (const link of causesOf(error)) {
    // node's own codes (EPIPE) can look like a SQLSTATE; only the server's errors have a severity
    if ('severity' in link && typeof link.code === 'string') return link.code
  }
  return null
}

/**
 * Whether the connection failed or was lost, so that a statement under way may or may not have
 * been done.
 */
export const isConnectionLost = (error: unknown): boolean => {
  const state = sqlStateOf(error)
  if (state !== null) return state.startsWith('08') || /^57P0[123]$/.test(state)
  return causesOf(error).some(
    (link) =>
      (typeof link.code === 'string' && CONNECTION_CODES.has(link.code)) ||
      CONNECTION_MESSAGES.some((pattern) => pattern.test(String(link.message))),
  )
}

/** Whether the same work may succeed if it is simply done again a little later. */
export const isRetryable = (error: unknown): boolean => {
  const state = sqlStateOf(error)
  if (state === null) return isConnectionLost(error)
  return ['40001', '40P01', '55P03', '53300'].includes(state) || isConnectionLost(error)
}

/** Whether it is the database that can not serve now, rather than the work that is wrong. */
export const isUnavailable = (error: unknown): boolean => {
  const state = sqlStateOf(error)
  if (state === null) return isConnectionLost(error)
  return state === READ_ONLY_STATE || state.startsWith('53') || isRetryable(error)
}

/**
 * The failure a client should see: AppErrors as they are, what the database refuses for now as
 * 503, all else null (a defect of ours: 500, and its message stays here).
 */
export const toAppError = (error: unknown): AppError | null => {
  // also one that was wrapped, as by the ledger's port: no connection came free
  const own = causesOf(error).find((link) => link instanceof AppError)
  if (own) return own
  const state = sqlStateOf(error)
  // a statement cut off by its time-out, or a row that others kept too long
  if (state === '57014' || state === '55P03' || state === '40001' || state === '40P01') {
    return new AppError('overloaded', 'The database is too busy; try again', {}, error)
  }
  if (!isUnavailable(error)) return null
  const reason =
    state === READ_ONLY_STATE
      ? 'The database accepts no writes at the moment'
      : 'The database can not serve at the moment'
  return new AppError('database_unavailable', `${reason}; try again`, {}, error)
}

type Link = { readonly code?: unknown; readonly message?: unknown; readonly cause?: unknown }

const causesOf = (error: unknown): readonly Link[] => {
  const links: Link[] = []
  let link = error
  while (typeof link === 'object' && link !== null && links.length < MAX_CAUSES) {
    links.push(link)
    // happy eyeballs: one host name, several addresses, each with its own failure
    if (link instanceof AggregateError) links.push(...link.errors.slice(0, MAX_CAUSES))
    link = (link as Link).cause
  }
  return links
}
