import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { openLedger } from './compose.js'
import { openForCommand } from './compose-databases.js'
import { type Config, secretsOf } from './config.js'
import type { Database } from './db/open.js'
import { DatabaseSetupError } from './db/setup-error.js'
import type { Ledger } from './ledger/ledger.js'
import { createLog } from './log.js'
import type { InspectDeps } from './stores/inspect.js'
import { openLinks } from './stores/open.js'
import { createRedisReports, type RedisReports } from './stores/redis-health.js'

/** Runs with the database, which the command alone may make when there is none yet. */
export const withDatabase = async <T>(
  config: Config,
  act: (db: Database, log: Logger) => Promise<T>,
  options: { readonly mayCreate: boolean } = { mayCreate: false },
): Promise<T> => {
  const { url } = config.database
  if (url === null && !options.mayCreate && !existsSync(join(config.dataDirectory, 'postgres'))) {
    throw new DatabaseSetupError(
      `DATABASE_URL is not set and there is no embedded database in ${config.dataDirectory} yet: ` +
        'start creditd first, or run db:migrate',
    )
  }
  // standard output belongs to what the command says
  const log = createLog({ level: 'warn', secrets: secretsOf(config), destination: process.stderr })
  const { db, close } = await openForCommand(config, log)
  try {
    return await act(db, log)
  } finally {
    await close()
  }
}

/** A command has few connections: one for batches, one for reading. */
const COMMAND_LANES = 1
/** A command asks for a page at once, also where the service would rather turn callers away. */
const LEAST_QUEUE_OPERATIONS = 1_000

/** The same with a ledger over it, like that of each instance of the service. */
export const withLedger = <T>(
  config: Config,
  act: (db: Database, ledger: Ledger, log: Logger) => Promise<T>,
): Promise<T> =>
  withDatabase(config, async (db, log) => {
    const queueOperations = Math.max(config.ledger.queueOperations, LEAST_QUEUE_OPERATIONS)
    const roomy = { ...config, ledger: { ...config.ledger, queueOperations } }
    const databases = { db, ledgerDb: db, lanes: COMMAND_LANES }
    const ledger = await openLedger(databases, { config: roomy, log })
    try {
      return await act(db, ledger, log)
    } finally {
      await ledger.close()
    }
  })

/** A command waits longer than the service does for a Redis that is slow to answer. */
const REDIS_TIMEOUT_MS = 500
/** A connection that is not taken is known as such after a second. */
const REDIS_SETTLE_MS = 1_200

export type StoresOfCommand = { readonly inspection: InspectDeps; readonly reports: RedisReports }

/** Runs with the connections to Redis, whether they are well or not. */
export const withStores = async <T>(
  config: Config,
  act: (stores: StoresOfCommand) => Promise<T>,
): Promise<T> => {
  const monotonicMs = () => performance.now()
  const { links, settle, close } = openLinks({
    ...config.redis,
    monotonicMs,
    timeoutMs: REDIS_TIMEOUT_MS,
    log: { info() {}, warn() {} },
  })
  try {
    await settle(REDIS_SETTLE_MS)
    const inspection = { links, keyPrefix: config.redis.keyPrefix, monotonicMs, newId: randomUUID }
    const reports = createRedisReports({ ...config.redis, links, nowMs: Date.now, monotonicMs })
    return await act({ inspection, reports })
  } finally {
    close()
  }
}
