import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { type RedisServer, startRedis } from '../test/helpers/redis.js'
import { type BenchCluster, PLAIN_DATABASE, SERVICE_DATABASE, startCluster } from './cluster.js'
import { COMMITS_TABLE } from './load/commits.js'
import { type Pgbench, preparePgbench } from './pgbench.js'
import { prepareAccounts } from './prepare.js'
import {
  EMPTY_SERVER,
  type Generator,
  SERVICE,
  type Server,
  startGenerator,
  startServer,
} from './processes.js'

/** Everything that runs, ready to be measured. */
export type Stage = {
  readonly cluster: BenchCluster
  readonly service: Server
  readonly empty: Server
  readonly generator: Generator
  /** null: no measure of this run needs it. */
  readonly redis: RedisServer | null
  /** null: no measure of this run needs it. */
  readonly pgbench: Pgbench | null
  /** Where single rows are committed. */
  readonly commitsUrl: string
  readonly apiKey: string
  /** On the service's database, for counting. */
  readonly pool: pg.Pool
}

export type StageOptions = {
  readonly accounts: number
  readonly commitDelayUs: number
  readonly needsPgbench: boolean
  readonly needsRedis: boolean
  readonly log: (line: string) => void
}

/** Counted as every limit is, and refuses nobody. */
const UNREACHED_LIMIT = '1000000/1m'

type Closers = { readonly add: (act: () => unknown) => void; close(): Promise<void> }

/** Starts all of it in a directory of its own; `close` ends it in any state of the start. */
export function createStage(): {
  start(options: StageOptions): Promise<Stage>
  close(): Promise<void>
} {
  const closers = createClosers()
  return { start: (options) => start(options, closers), close: closers.close }
}

async function start(options: StageOptions, closers: Closers): Promise<Stage> {
  const { accounts, commitDelayUs, needsPgbench, needsRedis, log } = options
  const directory = mkdtempSync(join(tmpdir(), 'creditd-bench-'))
  closers.add(() => rmSync(directory, { recursive: true, force: true }))
  // the database server may run as another user, who must get to its data
  chmodSync(directory, 0o711)
  const generator = startGenerator()
  closers.add(generator.stop)
  const cluster = await startCluster(directory, commitDelayUs)
  closers.add(cluster.stop)
  log(`PostgreSQL ${cluster.version} in ${directory}, durable commits`)
  const apiKey = `ck_live_${randomBytes(32).toString('base64url')}`
  const redis = needsRedis ? await startRedis({ teardown: closers.add }) : null
  const service = await startServer({
    script: SERVICE,
    directory,
    env: {
      NODE_ENV: 'production',
      LOG_LEVEL: 'warn',
      CREDITD_API_KEY: apiKey,
      DATABASE_URL: cluster.urlOf(SERVICE_DATABASE),
      RATE_LIMIT_API: UNREACHED_LIMIT,
      ...(redis && { REDIS_URL: redis.url }),
    },
  })
  closers.add(service.stop)
  const env = { NODE_ENV: 'production', LOG_LEVEL: 'warn', CREDITD_API_KEY: apiKey }
  const empty = await startServer({ script: EMPTY_SERVER, directory, env })
  closers.add(empty.stop)
  generator.guard([service.pid, empty.pid, cluster.postmasterPid], directory)
  const pool = new pg.Pool({ connectionString: cluster.urlOf(SERVICE_DATABASE), max: 1 })
  closers.add(() => pool.end())
  const commitsUrl = await prepareCommits(cluster)
  const pgbench = needsPgbench ? await preparePgbench(cluster, { accounts, directory }) : null
  await prepareAccounts({ port: service.port, apiKey }, accounts)
  log(`${accounts} accounts, each with two grants`)
  return { cluster, service, empty, generator, redis, pgbench, commitsUrl, apiKey, pool }
}

async function prepareCommits(cluster: BenchCluster): Promise<string> {
  const url = cluster.urlOf(PLAIN_DATABASE)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(COMMITS_TABLE)
  } finally {
    await client.end()
  }
  return url
}

function createClosers(): Closers {
  const acts: (() => unknown)[] = []
  let closing: Promise<void> | undefined
  const closeAll = async () => {
    for (let act = acts.pop(); act; act = acts.pop()) {
      try {
        await act()
      } catch (error) {
        // the others must be ended all the same
        console.error('not ended in order:', error)
      }
    }
  }
  return {
    add(act) {
      // a start that goes on while everything is being closed
      if (closing) void Promise.resolve(act()).catch(() => {})
      else acts.push(act)
    },
    close() {
      closing ??= closeAll()
      return closing
    },
  }
}
