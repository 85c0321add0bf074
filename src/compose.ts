import { randomBytes, randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { createKey, hasKeys } from './admin/api-keys.js'
import type { Config } from './config.js'
import { migrateUp } from './db/migrate.js'
import type { Database, DatabaseOptions } from './db/open.js'
import { type DatabaseSource, findDatabase } from './db/open-or-embed.js'
import { inTransaction } from './db/transaction.js'
import { parseDatabaseUrl } from './db/url.js'
import { createJobs, type Jobs } from './jobs/runner.js'
import { createLedger, type Ledger, type LedgerDeps } from './ledger/ledger.js'
import { createReads, type LedgerReads } from './ledger/reads.js'
import { createUpkeep, type Upkeep } from './ledger/upkeep.js'

/** Beside a connection for each lane: for a fence, and for an account that is done alone. */
const SPARE_LEDGER_CONNECTIONS = 2

const LEDGER_BATCH_BYTES = 1_048_576

export type CoreDeps = {
  readonly config: Config
  readonly log: Logger
  /** Shows the operator what must not be logged. */
  readonly print: (text: string) => void
  /** The service can not go on and must end. */
  readonly onLost: (error: Error) => void
  readonly onBatch?: LedgerDeps['onBatch']
}

/** What every feature stands on. */
export type Core = {
  readonly config: Config
  readonly log: Logger
  readonly db: Database
  readonly ledger: Ledger
  readonly ledgerPool: Database['pool']
  readonly reads: LedgerReads
  readonly upkeep: Upkeep
  readonly jobs: Jobs
  readonly instanceId: string
  readonly newId: () => string
  /** The database's time, in ms since the epoch. */
  readonly now: () => number
  /** Stops the jobs, finishes what the ledger accepted, then closes the database. */
  close(): Promise<void>
}

/** Opens everything below HTTP. What was opened is closed again when a later step fails. */
export const composeCore = async (deps: CoreDeps): Promise<Core> => {
  const { config, log } = deps
  const closers: (() => Promise<void>)[] = []
  const close = async () => {
    for (const act of closers.splice(0).reverse()) await act()
  }
  try {
    const source = await openSource(deps)
    closers.push(source.close)
    const sizes = connectionsOf(config)
    const db = await source.open({ poolSize: sizes.shared })
    closers.push(db.close)
    await prepareSchema(db, deps)
    await ensureFirstKey(db, source, deps)
    const ledgerDb = await source.open({
      poolSize: sizes.ledger,
      applicationName: 'creditd ledger',
    })
    closers.push(ledgerDb.close)
    const ledger = await openLedger(ledgerDb, sizes.lanes, deps)
    closers.push(ledger.close)
    const instanceId = randomUUID()
    const reads = createReads(db.pool)
    const upkeep = createUpkeep({
      pool: db.pool,
      ledger,
      reads,
      onFault: (error, work) =>
        log.warn({ err: error, ...work }, 'pending work will be tried again'),
    })
    const jobs = createJobs({ db, log, now: ledger.now, instanceId })
    addUpkeepJobs(jobs, upkeep)
    closers.push(jobs.stop)
    const time = { newId: randomUUID, now: ledger.now, instanceId }
    return {
      config,
      log,
      db,
      ledger,
      ledgerPool: ledgerDb.pool,
      reads,
      upkeep,
      jobs,
      ...time,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** The database alone, for commands: beside a running service, and without its limits of time. */
export const openForCommand = async (
  config: Config,
  log: Logger,
): Promise<{ source: DatabaseSource; db: Database; close: () => Promise<void> }> => {
  const source = await findDatabase({
    ...databaseOptions(config, log),
    statementTimeoutMs: 0,
    applicationName: 'creditd command',
    joinsOwner: true,
    onLost: (error) => log.error({ err: error }, 'the database is lost'),
  })
  try {
    const db = await source.open({ poolSize: 2 })
    const close = async () => {
      await db.close()
      await source.close()
    }
    return { source, db, close }
  } catch (error) {
    await source.close()
    throw error
  }
}

const databaseOptions = ({ database, dataDirectory }: Config, log: DatabaseOptions['log']) => ({
  ...database,
  dataDirectory,
  log,
})

const openSource = async ({ config, log, onLost }: CoreDeps): Promise<DatabaseSource> => {
  const source = await findDatabase({ ...databaseOptions(config, log), onLost })
  const { embedded } = source
  if (embedded) {
    const { directory, majorVersion, wasAdopted } = embedded
    log.info(
      { directory, majorVersion, wasAdopted },
      `DATABASE_URL is not set: using the embedded PostgreSQL ${majorVersion} in ${directory}`,
    )
  }
  return source
}

/** How the configured number of connections is shared out; reads never keep a charge waiting. */
const connectionsOf = ({ database, ledger }: Config) => {
  const { url, poolSize, defaultPoolSize } = database
  const fromUrl = url === null ? null : parseDatabaseUrl(url).poolSize
  const total = Math.max(2, poolSize ?? fromUrl ?? defaultPoolSize)
  const wanted = ledger.lanes + SPARE_LEDGER_CONNECTIONS
  const forLedger = Math.max(1, Math.min(wanted, Math.floor(total / 2)))
  return {
    ledger: forLedger,
    shared: total - forLedger,
    lanes: Math.min(ledger.lanes, forLedger),
  }
}

const prepareSchema = async (db: Database, { config, log }: CoreDeps): Promise<void> => {
  if (!config.migrateOnStart) return
  const applied = await migrateUp(db, { log })
  if (applied.length > 0) log.info({ count: applied.length }, 'the database is up to date')
}

/**
 * Makes the first API key of an embedded database and shows it, once. Shown before it is committed:
 * whoever is killed in between gets another one at the next start, and is never left without.
 */
const ensureFirstKey = async (
  db: Database,
  { embedded }: DatabaseSource,
  { config, log, print }: CoreDeps,
): Promise<void> => {
  if (config.apiKey !== null || (await hasKeys(db.orm))) return
  if (!embedded) {
    log.warn(
      'there is no API key yet: set CREDITD_API_KEY, or run "creditd keys create --name first"',
    )
    return
  }
  const { apiKeyPrefix: prefix } = config
  const newKey = { name: 'first key', scopes: ['admin'] as const, prefix, expiresAtMs: null }
  const deps = { newId: randomUUID, randomBytes, now: Date.now }
  await inTransaction(
    db,
    async (tx) => {
      const { key } = await createKey(tx, newKey, deps)
      print(
        `\n  Your first API key, shown this once:\n\n    ${key}\n\n` +
          `  curl -H 'Authorization: Bearer <key>' http://127.0.0.1:${config.http.port}/v1/accounts\n\n`,
      )
    },
    { deadlineMs: config.http.requestTimeoutMs, isRepeatable: true },
  )
}

const openLedger = (db: Database, lanes: number, deps: CoreDeps): Promise<Ledger> => {
  const { config, log, onBatch } = deps
  return createLedger({
    pool: db.pool,
    time: {
      monotonicMs: () => performance.now(),
      sleep,
      soon: setImmediate,
      random: Math.random,
    },
    limits: {
      ...config.ledger,
      lanes,
      batchBytes: LEDGER_BATCH_BYTES,
      timeoutMs: config.http.requestTimeoutMs,
    },
    onFault: (error, { kind, accountId }) =>
      log.error({ err: error, kind, accountId }, 'an operation failed for no fault of its caller'),
    onBatch: onBatch ?? (() => {}),
  })
}

const addUpkeepJobs = (jobs: Jobs, upkeep: Upkeep): void => {
  jobs.add({
    name: 'ledger.sweep',
    cron: '* * * * *',
    timeoutMs: 50_000,
    run: async () => `${await upkeep.sweep()} accounts settled`,
  })
  jobs.add({
    name: 'ledger.pending',
    cron: '*/5 * * * * *',
    timeoutMs: 60_000,
    once: 'all',
    run: async () => `${await upkeep.finishPending()} finished`,
  })
  jobs.add({
    name: 'jobs.cleanup',
    cron: '17 3 * * *',
    timeoutMs: 60_000,
    run: async () => `${await jobs.cleanUp()} rows of old runs deleted`,
  })
}
