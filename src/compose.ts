import { randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import {
  type Closers,
  createClosers,
  type Databases,
  type DatabasesDeps,
  openDatabases,
} from './compose-databases.js'
import type { Config } from './config.js'
import type { Database } from './db/open.js'
import type { Reader } from './db/reader.js'
import { createJobs, type Jobs } from './jobs/runner.js'
import { createLedger, type Ledger, type LedgerDeps } from './ledger/ledger.js'
import { createReads, type LedgerReads } from './ledger/reads.js'
import { createUpkeep, type Upkeep } from './ledger/upkeep.js'

const LEDGER_BATCH_BYTES = 1_048_576

export type CoreDeps = DatabasesDeps & { readonly onBatch?: LedgerDeps['onBatch'] }

/** What every feature stands on. */
export type Core = {
  readonly config: Config
  readonly log: Logger
  readonly db: Database
  /** Whether the database is the service's own, in its data directory. */
  readonly isEmbedded: boolean
  /** For reads that take minutes. */
  readonly maintenanceReader: Reader
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
  const closers = createClosers(deps.log)
  try {
    const databases = await openDatabases(deps, closers)
    return { ...(await composeLedger(databases, deps, closers)), close: closers.run }
  } catch (error) {
    await closers.run()
    throw error
  }
}

const composeLedger = async (
  databases: Databases,
  deps: CoreDeps,
  closers: Closers,
): Promise<Omit<Core, 'close'>> => {
  const { config, log } = deps
  const { db, ledgerDb, maintenanceDb, isEmbedded } = databases
  const ledger = await openLedger(databases, deps)
  closers.add(ledger.close)
  const reads = createReads(db.reader)
  const { pool } = db
  const upkeep = createUpkeep({
    pool,
    ledger,
    reads,
    onFault: (error, work) => log.warn({ err: error, ...work }, 'pending work will be tried again'),
  })
  const instanceId = randomUUID()
  const jobs = createJobs({ db, log, now: ledger.now, instanceId })
  addUpkeepJobs(jobs, upkeep)
  closers.add(jobs.stop)
  const pools = { maintenanceReader: maintenanceDb.reader, ledgerPool: ledgerDb.pool }
  const time = { newId: randomUUID, now: ledger.now, instanceId }
  return { config, log, db, isEmbedded, ...pools, ledger, reads, upkeep, jobs, ...time }
}

/** The ledger over the connections it is given. */
export const openLedger = (
  { db, ledgerDb, lanes }: Pick<Databases, 'db' | 'ledgerDb' | 'lanes'>,
  { config, log, onBatch }: Pick<CoreDeps, 'config' | 'log' | 'onBatch'>,
): Promise<Ledger> =>
  createLedger({
    pool: ledgerDb.pool,
    readPool: db.pool,
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
    told: { lowBalanceCredits: config.events.lowBalanceCredits },
    onFault: (error, { kind, accountId }) =>
      log.error({ err: error, kind, accountId }, 'an operation failed for no fault of its caller'),
    onBatch: onBatch ?? (() => {}),
  })

const addUpkeepJobs = (jobs: Jobs, upkeep: Upkeep): void => {
  jobs.add({
    name: 'ledger.sweep',
    cron: '* * * * *',
    timeoutMs: 50_000,
    run: async (signal) => `${await upkeep.sweep(signal)} accounts settled`,
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
