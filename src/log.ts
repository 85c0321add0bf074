import { type Logger, pino } from 'pino'
import { redactStatement } from './db/slow-query.js'

export type LogOptions = {
  readonly level: string
  /** Values that must never be printed, whatever they are part of. */
  readonly secrets: readonly string[]
  /** Where lines go; standard output when not given. */
  readonly destination?: { write(line: string): void }
}

const REDACTED = '[redacted]'

/** Fields that hold credentials by their name, on the first levels of a line. */
const SECRET_FIELDS = [
  'authorization',
  'cookie',
  'set-cookie',
  'password',
  'token',
  'secret',
  'apiKey',
].flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`])

/** Credentials by their looks, anywhere in a line: URLs with passwords, our keys, bearer tokens. */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/([a-z][a-z0-9+.-]*:\/\/[^:/@\s"\\]*):[^@\s"\\]*@/gi, `$1:${REDACTED}@`],
  [/\bck_(live|test)_[A-Za-z0-9_-]{8,}/g, `ck_$1_${REDACTED}`],
  [/\b(bearer|basic) +[^\s"\\]+/gi, `$1 ${REDACTED}`],
]

/** The longest chain of causes that is printed. */
const MAX_CAUSES = 5

/** The service's log: one JSON object a line, and no secret in any of them. */
export const createLog = ({ level, secrets, destination }: LogOptions): Logger => {
  // as they are, and as they stand in JSON
  const known = secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
  const options = {
    level,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRET_FIELDS, censor: REDACTED },
    serializers: { err: describeError, error: describeError },
    hooks: { streamWrite: (line: string) => scrub(line, known) },
  }
  return destination ? pino(options, destination) : pino(options)
}

/** The text with all credentials in it blanked. */
export const scrub = (text: string, secrets: readonly string[]): string => {
  const known = secrets.reduce((line, secret) => line.replaceAll(secret, REDACTED), text)
  return PATTERNS.reduce((line, [pattern, by]) => line.replace(pattern, by), known)
}

type ErrorRecord = Readonly<Record<string, unknown>>

/**
 * An error for the log: what happened and where, without the values of rows and parameters that
 * Drizzle and PostgreSQL put into theirs.
 */
export const describeError = (error: unknown, depth = 0): ErrorRecord => {
  if (!(error instanceof Error)) return { message: String(error) }
  const { code, constraint, table, routine, cause } = error as Error & ErrorRecord
  const message = messageOf(error)
  const stack = (error.stack ?? '')
    .replace(`${error.name}: ${error.message}`, '')
    .replace(`Error: ${error.message}`, '')
  const facts = { code, constraint, table, routine }
  return {
    type: error.name,
    message,
    ...Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)),
    stack: stack.trim(),
    ...(cause !== undefined && depth < MAX_CAUSES && { cause: describeError(cause, depth + 1) }),
  }
}

const messageOf = (error: Error & { query?: unknown }): string =>
  typeof error.query === 'string' && error.message.startsWith('Failed query:')
    ? `Failed query: ${redactStatement(error.query)}`
    : error.message
