import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { BaseLogger } from 'pino'
import { CLUSTER_USER, type Cluster, openCluster } from './cluster.js'
import { isRetryable } from './errors.js'
import { awaitNoOwnerElsewhere, markOwner, type OwnerMark } from './owner-mark.js'
import {
  findFreePort,
  findPostmaster,
  launchPostmaster,
  removeStalePidFile,
  stopPostmaster,
} from './postmaster.js'
import { DatabaseSetupError } from './setup-error.js'

export type EmbeddedOptions = {
  readonly dataDirectory: string
  readonly log: Pick<BaseLogger, 'info' | 'warn' | 'error'>
  /** The cluster can not be ours any longer: the service must stop. */
  readonly onLost: (error: Error) => void
  /** Whether to use the server beside an owner that is alive, instead of being refused. */
  readonly joinsOwner?: boolean | undefined
}

export type EmbeddedDatabase = {
  /** With the password in it: for openDatabase, and for no log. */
  readonly url: string
  readonly directory: string
  readonly majorVersion: number
  /** Whether the data directory was made by this start. */
  readonly isNew: boolean
  /** Whether the server was left running by a service that was killed. */
  readonly wasAdopted: boolean
  /** Stops the server in order. Close all other connections first. */
  stop(): Promise<void>
}

const DATABASE = 'creditd'

/** Held by the owner's session for as long as it lives; the number is arbitrary. */
const OWNER_LOCK = 0x6f776e72

/** The lock of a killed owner goes within milliseconds; whoever has it after this is alive. */
const OWNER_WAIT_MS = 3_000
const JOIN_WAIT_MS = 200

/** Replaying the log after a crash takes as long as there is log to replay. */
const START_DEADLINE_MS = 300_000
const POLL_MS = 20
const RESTART_PAUSE_MS = 500

/**
 * Starts the PostgreSQL of DATA_DIR, or adopts the one a killed service left behind, and watches
 * over it: it is started again when it ends. Throws DatabaseSetupError, also when the cluster
 * belongs to another service that is alive.
 */
export const startEmbedded = async (options: EmbeddedOptions): Promise<EmbeddedDatabase> => {
  const cluster = openCluster(options.dataDirectory)
  const running = findPostmaster(cluster)
  if (!running) await awaitNoOwnerElsewhere(cluster)
  // before the server is started: a second container must not come in between
  const mark = markOwner(cluster)
  try {
    const port = running?.port ?? (await findFreePort())
    const owner = await own(cluster, port, options)
    if (!owner.session) mark.abandon()
    return await ownedDatabase(cluster, owner, mark, options)
  } catch (error) {
    mark.abandon()
    throw error
  }
}

const ownedDatabase = async (
  cluster: Cluster,
  owner: Owner,
  mark: OwnerMark,
  options: EmbeddedOptions,
): Promise<EmbeddedDatabase> => {
  const { session, port, wasAdopted } = owner
  const facts = {
    url: urlOf(cluster, port, DATABASE),
    directory: cluster.data,
    majorVersion: cluster.majorVersion,
    isNew: cluster.isNew,
    wasAdopted,
  }
  if (!session) return { ...facts, stop: async () => {} }
  await createDatabase(session)
  const watch = watchOver(cluster, { ...owner, session }, options)
  return {
    ...facts,
    stop: async () => {
      await watch.stop()
      await stopPostmaster(cluster)
      mark.remove()
    },
  }
}

type Owner = {
  /** null: somebody else owns it and we use it beside them. */
  readonly session: pg.Client | null
  readonly port: number
  readonly wasAdopted: boolean
}

type Owned = Owner & { readonly session: pg.Client }

/** A running server with our lock on it. */
const own = async (cluster: Cluster, port: number, options: EmbeddedOptions): Promise<Owner> => {
  const running = findPostmaster(cluster)
  if (running) {
    const session = await connect(cluster, running.port, () => null)
    const isOurs = await takeLock(session, cluster, options.joinsOwner ?? false)
    return { session: isOurs ? session : null, port: running.port, wasAdopted: isOurs }
  }
  if (removeStalePidFile(cluster)) {
    options.log.warn({ directory: cluster.data }, 'removed the pid file of a server that is gone')
  }
  const failure = launchPostmaster(cluster, port)
  try {
    const session = await connect(cluster, port, failure)
    const isOurs = await takeLock(session, cluster, options.joinsOwner ?? false)
    return { session: isOurs ? session : null, port, wasAdopted: false }
  } catch (error) {
    // another service may have started it in the same moment: then it is that one's
    if (failure() === null || !findPostmaster(cluster)) throw error
    return own(cluster, port, options)
  }
}

const connect = async (
  cluster: Cluster,
  port: number,
  failure: () => string | null,
): Promise<pg.Client> => {
  const endMs = performance.now() + START_DEADLINE_MS
  for (;;) {
    const session = new pg.Client({
      connectionString: urlOf(cluster, port, 'postgres'),
      application_name: 'creditd owner',
      keepAlive: true,
    })
    session.on('error', () => {})
    try {
      await session.connect()
      return session
    } catch (error) {
      await session.end().catch(() => {})
      const reason = failure() ?? (isRetryable(error) ? null : (error as Error).message)
      if (reason !== null || performance.now() > endMs) {
        throw new DatabaseSetupError(
          `the embedded PostgreSQL in ${cluster.data} did not start: ${reason ?? 'no answer'}`,
          error,
        )
      }
    }
    await sleep(POLL_MS)
  }
}

/** Whether the lock is ours; with `joinsOwner` it need not be. */
const takeLock = async (
  session: pg.Client,
  cluster: Cluster,
  joinsOwner: boolean,
): Promise<boolean> => {
  const endMs = performance.now() + (joinsOwner ? JOIN_WAIT_MS : OWNER_WAIT_MS)
  for (;;) {
    const { rows } = await session.query<{ taken: boolean }>(
      'select pg_try_advisory_lock($1) as taken',
      [OWNER_LOCK],
    )
    if (rows[0]?.taken) return true
    if (performance.now() > endMs) break
    await sleep(POLL_MS)
  }
  await session.end()
  if (joinsOwner) return false
  throw new DatabaseSetupError(
    `another creditd is using the embedded PostgreSQL in ${cluster.data}: stop it, ` +
      'give this one a DATA_DIR of its own, or let both use one server by DATABASE_URL',
  )
}

const createDatabase = async (session: pg.Client): Promise<void> => {
  const { rowCount } = await session.query('select 1 from pg_database where datname = $1', [
    DATABASE,
  ])
  if (rowCount === 0) await session.query(`create database ${DATABASE}`)
}

/** Starts the server again whenever the owner's session ends by itself. */
const watchOver = (cluster: Cluster, first: Owned, options: EmbeddedOptions) => {
  let session = first.session
  let isStopping = false
  const follow = (current: pg.Client): void => {
    session = current
    current.once('end', () => {
      if (isStopping) return
      options.log.error({ directory: cluster.data }, 'the embedded PostgreSQL is gone: restarting')
      void regain()
    })
  }
  const regain = async (): Promise<void> => {
    while (!isStopping) {
      try {
        // a back end killed on its own makes the server restart itself; let it
        await sleep(RESTART_PAUSE_MS)
        if (isStopping) return
        const owner = await own(cluster, first.port, { ...options, joinsOwner: false })
        options.log.warn({ directory: cluster.data }, 'the embedded PostgreSQL runs again')
        if (owner.session) return follow(owner.session)
      } catch (error) {
        if (isOwnedByAnother(error)) return options.onLost(error as Error)
        options.log.error({ err: error }, 'the embedded PostgreSQL does not start')
      }
    }
  }
  follow(first.session)
  return {
    stop: async () => {
      isStopping = true
      await session.end().catch(() => {})
    },
  }
}

const isOwnedByAnother = (error: unknown): boolean =>
  error instanceof DatabaseSetupError && error.message.startsWith('another creditd')

const urlOf = (cluster: Cluster, port: number, database: string): string =>
  `postgres://${CLUSTER_USER}:${cluster.password}@127.0.0.1:${port}/${database}`
