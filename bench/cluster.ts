import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { CLUSTER_USER, openCluster } from '../src/db/cluster.js'
import {
  findFreePort,
  findPostmaster,
  launchPostmaster,
  stopPostmaster,
} from '../src/db/postmaster.js'

export type BenchCluster = {
  readonly port: number
  readonly user: string
  readonly password: string
  readonly postmasterPid: number
  readonly version: string
  urlOf(database: string): string
  stop(): Promise<void>
}

const START_DEADLINE_MS = 30_000
const POLL_MS = 50
const MAX_WAITS = 100

export const SERVICE_DATABASE = 'creditd'
/** The comparators' own tables: nothing of the service is in their way, nor they in its. */
export const PLAIN_DATABASE = 'plain'

/** Without these an acknowledged commit may be lost, and no figure would mean anything. */
const DURABLE = ['fsync', 'synchronous_commit', 'full_page_writes']

/**
 * A new cluster in the directory, run as the service's embedded one is; empty databases in it. Each
 * commit takes `commitDelayUs` longer, for everybody: as if the disk were slower.
 */
export async function startCluster(directory: string, commitDelayUs = 0): Promise<BenchCluster> {
  const cluster = openCluster(directory)
  const port = await findFreePort()
  const failure = launchPostmaster(cluster, port)
  const stop = async () => {
    await stopPostmaster(cluster)
    // its end is heard of a moment later, and its log read then
    for (let waits = 0; failure() === null && waits < MAX_WAITS; waits += 1) await sleep(POLL_MS)
  }
  const urlOf = (database: string) =>
    `postgres://${CLUSTER_USER}:${cluster.password}@127.0.0.1:${port}/${database}`
  try {
    const client = await connect(urlOf('postgres'), failure)
    const version = await prepare(client, commitDelayUs).finally(() => client.end())
    const postmasterPid = findPostmaster(cluster)?.pid
    if (postmasterPid === undefined) throw new Error('the database server is gone')
    return {
      port,
      user: CLUSTER_USER,
      password: cluster.password,
      postmasterPid,
      version,
      urlOf,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function connect(url: string, failure: () => string | null): Promise<pg.Client> {
  const deadlineMs = performance.now() + START_DEADLINE_MS
  for (;;) {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    try {
      await client.connect()
      return client
    } catch (error) {
      await client.end().catch(() => {})
      const reason = failure()
      if (reason !== null || performance.now() > deadlineMs) {
        throw new Error(`the database server did not start: ${reason ?? 'no answer'}`, {
          cause: error,
        })
      }
      await sleep(POLL_MS)
    }
  }
}

/** Checks that it is durable and makes the databases; gives the server's version. */
async function prepare(client: pg.Client, commitDelayUs: number): Promise<string> {
  for (const name of DURABLE) {
    const { rows } = await client.query<Record<string, string>>(`show ${name}`)
    if (rows[0]?.[name] !== 'on') throw new Error(`${name} is not on`)
  }
  if (commitDelayUs > 0) {
    // without siblings to wait for, it delays every commit
    await client.query('alter system set commit_siblings = 0')
    await client.query(`alter system set commit_delay = ${commitDelayUs}`)
    await client.query('select pg_reload_conf()')
  }
  for (const name of [SERVICE_DATABASE, PLAIN_DATABASE]) {
    await client.query(`create database ${name}`)
  }
  const { rows } = await client.query<{ server_version: string }>('show server_version')
  return rows[0]?.server_version ?? 'unknown'
}
