import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { borrowIdentity } from '../../src/db/postgres-binaries.js'
import { testBinaries } from '../helpers/binaries.js'
import type { TestContext } from '../helpers/database.js'
import { eventually } from './kit-client.js'

/** A PostgreSQL of the test's own, to be killed and stopped as it likes. */
export type OwnPostgres = {
  readonly port: number
  /** A new, empty database. */
  createDatabase(name: string): Promise<string>
  /** Of the server itself. */
  pid(): number
  /** Of the back ends that serve creditd. */
  backEnds(): Promise<number[]>
  /** Ends it as a crash would (SIGQUIT: immediate; SIGKILL), and waits until it is gone. */
  crash(signal: 'SIGQUIT' | 'SIGKILL'): Promise<void>
  start(): Promise<void>
  /** As the superuser, in no database of a service. */
  administrate(statement: string): Promise<pg.QueryResult>
}

/** What is acknowledged survives a crash of the server; of the machine it need not. */
const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'max_connections=120',
  'shared_buffers=64MB',
  'fsync=off',
  'synchronous_commit=on',
  'restart_after_crash=on',
  'log_min_messages=fatal',
]
const START_DEADLINE_MS = 30_000

/** `folder` is where its binaries are; without it, those that all tests use. */
export const openPostgres = async (t: TestContext, folder?: string): Promise<OwnPostgres> => {
  const identity = borrowIdentity()
  const binaries = folder ?? testBinaries(identity)
  const directory = mkdtempSync(join(tmpdir(), 'creditd-e2e-'))
  chmodSync(directory, 0o755)
  const data = join(directory, 'data')
  mkdirSync(data, { mode: 0o700 })
  if (identity.uid !== undefined) chownSync(data, identity.uid, identity.gid ?? 0)
  const initdb = ['-D', data, '-U', 'creditd', '-A', 'trust', '--no-sync', '--locale=C']
  execFileSync(join(binaries, 'initdb'), [...initdb, '--encoding=UTF8'], {
    ...identity,
    cwd: '/',
    stdio: 'pipe',
  })
  const port = await freePort()
  const url = (name: string) => `postgres://creditd@127.0.0.1:${port}/${name}`
  let server: ChildProcess | undefined
  const launch = () => {
    const args = ['-D', data, '-p', String(port), ...SETTINGS.flatMap((s) => ['-c', s])]
    const child = spawn(join(binaries, 'postgres'), args, {
      ...identity,
      cwd: '/',
      stdio: 'ignore',
    })
    server = child
    return child
  }
  const administrate = (statement: string) => once(url('postgres'), statement)
  const isUp = () =>
    administrate('select 1').then(
      () => true,
      () => false,
    )
  const start = async () => {
    await eventually(
      'PostgreSQL starts',
      async () => {
        // after a kill -9 it waits for its orphans to let go of the memory they share
        if (!isRunning(server)) launch()
        return isUp()
      },
      START_DEADLINE_MS,
    )
  }
  const end = async (signal: NodeJS.Signals) => {
    if (!server || !isRunning(server)) return
    const ended = new Promise<void>((resolve) => server?.once('exit', () => resolve()))
    server.kill(signal)
    await ended
  }
  t.teardown(async () => {
    // a stopped process does not hear anything else
    if (isRunning(server)) server?.kill('SIGCONT')
    await end('SIGQUIT')
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  })
  await start()
  return {
    port,
    async createDatabase(name) {
      await administrate(`create database ${name}`)
      return url(name)
    },
    pid: () => server?.pid ?? 0,
    async backEnds() {
      const { rows } = await administrate(
        `select pid from pg_stat_activity where application_name like 'creditd%'`,
      )
      return rows.map((row) => Number(row.pid))
    },
    crash: end,
    start,
    administrate,
  }
}

const isRunning = (child: ChildProcess | undefined): boolean =>
  child !== undefined && child.exitCode === null && child.signalCode === null

const once = async (connectionString: string, statement: string): Promise<pg.QueryResult> => {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    return await client.query(statement)
  } finally {
    await client.end().catch(() => {})
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
