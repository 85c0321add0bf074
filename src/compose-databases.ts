import type { Logger } from 'pino'
import type { Config } from './config.js'
import { migrateUp, migrationStatus } from './db/migrate.js'
import type { Database, DatabaseOptions } from './db/open.js'
import { type DatabaseSource, findDatabase } from './db/open-or-embed.js'
import { DatabaseSetupError } from './db/setup-error.js'
import { parseDatabaseUrl } from './db/url.js'

/** Beside a connection for each lane: for a fence, and for an account that is done alone. */
const SPARE_LEDGER_CONNECTIONS = 2

/** A look at all the books takes minutes when they are long; nothing else may. */
const MAINTENANCE_TIMEOUT_MS = 600_000

export type DatabasesDeps = {
  readonly config: Config
  readonly log: Logger
  /** Ends the wait for a database that is not up yet. */
  readonly signal?: AbortSignal
  /** The embedded database is somebody else's now. */
  readonly onLost: (error: Error) => void
}

export type Databases = {
  readonly db: Database
  /** The ledger's own connections, so that nobody's reads keep a charge waiting. */
  readonly ledgerDb: Database
  /** One connection for statements that take minutes. */
  readonly maintenanceDb: Database
  /** How many of the ledger's batches the connections allow at once. */
  readonly lanes: number
  /** Whether it is the service's own, in its data directory. */
  readonly isEmbedded: boolean
}

/** Closes what was opened, the last first; one that fails does not keep the others open. */
export type Closers = {
  add(close: () => Promise<void>): void
  run(): Promise<void>
}

export const createClosers = (log: Logger): Closers => {
  const all: (() => Promise<void>)[] = []
  return {
    add: (close) => void all.push(close),
    async run() {
      for (const close of all.splice(0).reverse()) {
        await close().catch((error) => log.error({ err: error }, 'not everything could be closed'))
      }
    },
  }
}

/** Opens the database, brought up to date. */
export const openDatabases = async (deps: DatabasesDeps, closers: Closers): Promise<Databases> => {
  const source = await openSource(deps)
  closers.add(source.close)
  const open = async (options: Partial<DatabaseOptions>) => {
    const db = await source.open(options)
    closers.add(db.close)
    return db
  }
  const sizes = connectionsOf(deps.config)
  const db = await open({ poolSize: sizes.shared })
  await prepareSchema(db, deps)
  return {
    db,
    ledgerDb: await open({ poolSize: sizes.ledger, applicationName: 'creditd ledger' }),
    maintenanceDb: await open({
      poolSize: MAINTENANCE_CONNECTIONS,
      applicationName: 'creditd maintenance',
      statementTimeoutMs: MAINTENANCE_TIMEOUT_MS,
    }),
    lanes: sizes.lanes,
    isEmbedded: source.embedded !== null,
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

const databaseOptions = (config: Config, log: DatabaseOptions['log']) => ({
  ...config.database,
  readDeadlineMs: config.http.requestTimeoutMs,
  dataDirectory: config.dataDirectory,
  log,
})

const openSource = async (deps: DatabasesDeps): Promise<DatabaseSource> => {
  const { config, log, onLost, signal } = deps
  const source = await findDatabase({ ...databaseOptions(config, log), onLost, signal })
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

const MAINTENANCE_CONNECTIONS = 1
/** One for maintenance, one at least for the ledger, one for the rest. */
const FEWEST_CONNECTIONS = 3

/** How the configured number of connections is shared out; reads never keep a charge waiting. */
const connectionsOf = ({ database, ledger }: Config) => {
  const { url, poolSize, defaultPoolSize } = database
  const fromUrl = url === null ? null : parseDatabaseUrl(url).poolSize
  const total = Math.max(FEWEST_CONNECTIONS, poolSize ?? fromUrl ?? defaultPoolSize)
  const shareable = total - MAINTENANCE_CONNECTIONS
  const wanted = ledger.lanes + SPARE_LEDGER_CONNECTIONS
  const forLedger = Math.max(1, Math.min(wanted, Math.floor(shareable / 2)))
  return {
    ledger: forLedger,
    shared: shareable - forLedger,
    lanes: Math.min(ledger.lanes, forLedger),
  }
}

const prepareSchema = async (db: Database, { config, log }: DatabasesDeps): Promise<void> => {
  if (!config.migrateOnStart) {
    const lacking = (await migrationStatus(db)).filter(({ state }) => state === 'pending')
    if (lacking.length === 0) return
    const message = `the database lacks ${lacking.length} migrations: run "npx creditd db:migrate"`
    throw new DatabaseSetupError(message)
  }
  const applied = await migrateUp(db, { log })
  if (applied.length > 0) log.info({ count: applied.length }, 'the database is up to date')
}
