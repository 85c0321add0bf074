import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import type { BaseLogger } from 'pino'
import { createClientClass, createEndpointRing, endpointsOf } from './client.js'
import { isConnectionLost, isRetryable, READ_ONLY_STATE, sqlStateOf } from './errors.js'
import { GuardedPool } from './pool.js'
import { createReader, type Reader } from './reader.js'
import { createReminder } from './reminder.js'
import { DatabaseSetupError } from './setup-error.js'
import { watchSlowQueries } from './slow-query.js'
import {
  checkSchemaName,
  type DatabaseUrl,
  describeDatabaseUrl,
  parseDatabaseUrl,
  SUPPORTED,
} from './url.js'

export type Database = {
  readonly pool: pg.Pool
  readonly orm: NodePgDatabase
  /** The same connections for single statements that only read: these are tried again. */
  readonly reader: Reader
  /** Drizzle on the reader. */
  readonly readOrm: NodePgDatabase
  /** Where the database is, without secrets. */
  readonly description: string
  /** The schema that holds every table of ours. */
  readonly schema: string
  /** Waits for the connections in use to come back, then closes all of them. */
  close(): Promise<void>
}

export type DatabaseOptions = {
  readonly url: string
  readonly log: Pick<BaseLogger, 'info' | 'warn' | 'error'>
  /** Wins over `schema=` in the URL; with neither it is what the server calls current. */
  readonly schema?: string | null
  /** Wins over `connection_limit` in the URL. */
  readonly poolSize?: number | null
  readonly defaultPoolSize?: number
  /** How long a caller waits for a free connection; wins over `pool_timeout` in the URL. */
  readonly poolTimeoutMs?: number | null
  /** 0: no limit, for the long statements of an operator's command. */
  readonly statementTimeoutMs?: number
  readonly lockTimeoutMs?: number
  readonly idleInTransactionTimeoutMs?: number
  /** How long all attempts of a read together may take. */
  readonly readDeadlineMs?: number
  readonly slowQueryMs?: number
  readonly applicationName?: string
  /** How long to wait at start for a database that is not up yet. */
  readonly connectDeadlineMs?: number
  /** Ends that wait, for a service that is told to stop before it has begun. */
  readonly signal?: AbortSignal | undefined
}

const DEFAULTS = {
  poolSize: 10,
  poolTimeoutMs: 5_000,
  connectTimeoutMs: 5_000,
  statementTimeoutMs: 10_000,
  lockTimeoutMs: 5_000,
  idleInTransactionTimeoutMs: 30_000,
  readDeadlineMs: 10_000,
  slowQueryMs: 1_000,
  connectDeadlineMs: 30_000,
}

/** The server cancels a slow statement itself; this much later it is taken for gone. */
const REPLY_GRACE_MS = 2_000

/** Long enough not to reconnect in a lull, short enough to give connections back at night. */
const IDLE_CONNECTION_MS = 60_000

const RETRY_PAUSE_MS = 500
/** Somebody who waits wants to know why, and not twice a second. */
const REMIND_EVERY_MS = 30_000

/** Connections say goodbye within milliseconds, unless the network is gone. */
const CLOSE_WAIT_MS = 1_000
const CLOSE_POLL_MS = 2

/** bigint columns hold at most 2^53-1; anything larger is refused rather than rounded. */
const parseInt8 = (text: string): number => {
  const value = Number(text)
  if (Number.isSafeInteger(value)) return value
  throw new RangeError('a bigint from the database exceeds 2^53-1')
}

// Drizzle asks pg's global parsers and not the connection's, so this can not be set on the pool
pg.types.setTypeParser(pg.types.builtins.INT8, parseInt8)

/**
 * Opens the database and makes sure that it can be used. Waits up to `connectDeadlineMs` for one
 * that is still starting; throws DatabaseSetupError, in one line, when it can not be used.
 */
export const openDatabase = async (options: DatabaseOptions): Promise<Database> => {
  const url = parseDatabaseUrl(options.url)
  const schema = checkSchemaName(options.schema ?? null, 'DATABASE_SCHEMA') ?? url.schema
  if (url.ignored.length > 0) {
    options.log.warn({ parameters: url.ignored }, 'parameters of DATABASE_URL without effect here')
  }
  const description = describeDatabaseUrl(url, schema)
  const { pool, close } = createPool(url, schema, options)
  try {
    const current = await waitUntilUsable(pool, description, options)
    const deadlineMs = options.readDeadlineMs ?? DEFAULTS.readDeadlineMs
    const reader = createReader(pool, { deadlineMs })
    return {
      pool,
      orm: drizzle(pool),
      reader,
      // of its client, Drizzle's selects need no more than this
      readOrm: drizzle(reader as pg.Pool),
      description,
      schema: schema ?? current,
      close: onceOnly(close),
    }
  } catch (error) {
    await close()
    throw error
  }
}

const createPool = (
  url: DatabaseUrl,
  schema: string | null,
  options: DatabaseOptions,
): { pool: pg.Pool; close: () => Promise<void> } => {
  const ring = createEndpointRing(endpointsOf(url))
  const poolTimeoutMs = options.poolTimeoutMs ?? url.poolTimeoutMs ?? DEFAULTS.poolTimeoutMs
  const connectTimeoutMs = url.connectTimeoutMs ?? DEFAULTS.connectTimeoutMs
  const statementTimeoutMs = options.statementTimeoutMs ?? DEFAULTS.statementTimeoutMs
  const config: pg.PoolConfig = {
    user: url.user,
    password: url.password,
    database: url.database,
    Client: createClientClass(ring, Math.min(connectTimeoutMs, poolTimeoutMs)),
    max: options.poolSize ?? url.poolSize ?? options.defaultPoolSize ?? DEFAULTS.poolSize,
    connectionTimeoutMillis: poolTimeoutMs,
    idleTimeoutMillis: IDLE_CONNECTION_MS,
    keepAlive: true,
    application_name: url.applicationName ?? options.applicationName ?? 'creditd',
    lock_timeout: options.lockTimeoutMs ?? DEFAULTS.lockTimeoutMs,
    idle_in_transaction_session_timeout:
      options.idleInTransactionTimeoutMs ?? DEFAULTS.idleInTransactionTimeoutMs,
    ...(statementTimeoutMs > 0 && {
      statement_timeout: statementTimeoutMs,
      query_timeout: statementTimeoutMs + REPLY_GRACE_MS,
    }),
    // at connection start, so that it costs no round trip and no connection is ever without it
    ...(schema !== null && { options: `-c search_path=${schema}` }),
  }
  const pool = new GuardedPool(config, ring)
  return { pool, close: watchPool(pool, options) }
}

/** Gives what closes the pool: pg's own end() is done before the connections are. */
const watchPool = (pool: pg.Pool, options: DatabaseOptions): (() => Promise<void>) => {
  const slowQueries = {
    thresholdMs: options.slowQueryMs ?? DEFAULTS.slowQueryMs,
    log: options.log,
    now: () => performance.now(),
  }
  const open = new Set<pg.PoolClient>()
  let isClosing = false
  const onError = (error: Error) => {
    if (isClosing) return
    options.log.warn({ reason: error.message }, 'a database connection was lost')
  }
  pool.on('connect', (client) => {
    open.add(client)
    client.once('end', () => open.delete(client))
    // the pool listens while a connection is idle only; lost in between, it would end the process
    client.on('error', onError)
    watchSlowQueries(client, slowQueries)
  })
  pool.on('error', () => {})
  return async () => {
    isClosing = true
    await pool.end()
    const endMs = performance.now() + CLOSE_WAIT_MS
    while (open.size > 0 && performance.now() < endMs) await sleep(CLOSE_POLL_MS)
  }
}

const waitUntilUsable = async (
  pool: pg.Pool,
  description: string,
  options: DatabaseOptions,
): Promise<string> => {
  const deadlineMs = performance.now() + (options.connectDeadlineMs ?? DEFAULTS.connectDeadlineMs)
  const isTimeToTell = createReminder(REMIND_EVERY_MS)
  for (;;) {
    try {
      return await readSchema(pool)
    } catch (error) {
      const isOver = performance.now() + RETRY_PAUSE_MS > deadlineMs || options.signal?.aborted
      const isWorthWaiting = isRetryable(error) || sqlStateOf(error) === READ_ONLY_STATE
      if (isOver || !isWorthWaiting) throw setupErrorOf(error, description)
      if (isTimeToTell(performance.now())) {
        const { message } = error as Error
        options.log.warn({ database: description, reason: message }, 'waiting for the database')
      }
    }
    await sleep(RETRY_PAUSE_MS)
  }
}

const readSchema = async (pool: pg.Pool): Promise<string> => {
  const { rows } = await pool.query<{ schema: string | null }>('select current_schema() as schema')
  return rows[0]?.schema ?? 'public'
}

const setupErrorOf = (error: unknown, description: string): Error => {
  if (error instanceof DatabaseSetupError) return error
  const message = error instanceof Error ? error.message || error.name : String(error)
  const state = sqlStateOf(error)
  if (state === null && !isConnectionLost(error)) {
    // something answered, though not in PostgreSQL's words
    return new DatabaseSetupError(
      `what answers at ${description} can not be used (${message}); ${SUPPORTED}`,
      error,
    )
  }
  return new DatabaseSetupError(`the database at ${description} can not be used: ${message}`, error)
}

const onceOnly = (act: () => Promise<void>): (() => Promise<void>) => {
  let result: Promise<void> | undefined
  return () => {
    result ??= act()
    return result
  }
}
