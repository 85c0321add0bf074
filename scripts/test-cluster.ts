/**
 * Keeps one throw-away PostgreSQL for tests: `tsx scripts/test-cluster.ts <directory>`. Writes
 * `<directory>/cluster.json` when it is ready, and ends, leaving nothing behind, on a signal, when
 * the directory disappears, or when nobody has been connected for a while.
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  chownSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { borrowIdentity } from '../src/db/postgres-binaries.js'
import { testBinaries } from '../test/helpers/binaries.js'

const IDLE_LIMIT_MS = Number(process.env.TEST_PG_IDLE_MS ?? 10 * 60_000)
const CHECK_EVERY_MS = 5_000

/** Speed over durability: what is in here is lost by design. */
const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'max_connections=300',
  'shared_buffers=128MB',
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
  'autovacuum_naptime=10min',
  'log_min_messages=fatal',
]

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close(() => resolve(port))
    })
  })

const directory = process.argv[2]
if (!directory) throw new Error('usage: tsx scripts/test-cluster.ts <directory>')
const identity = borrowIdentity()
const binaries = testBinaries(identity)
const data = join(directory, 'data')
mkdirSync(data, { recursive: true, mode: 0o700 })
if (identity.uid !== undefined) {
  chownSync(directory, identity.uid, identity.gid ?? 0)
  chownSync(data, identity.uid, identity.gid ?? 0)
}
const quiet = { ...identity, cwd: '/', stdio: 'pipe' as const }
execFileSync(
  join(binaries, 'initdb'),
  ['-D', data, '-U', 'creditd', '-A', 'trust', '--no-sync', '--locale=C', '--encoding=UTF8'],
  quiet,
)
const port = await freePort()
const log = openSync(join(directory, 'postgres.log'), 'a')
const server = spawn(
  join(binaries, 'postgres'),
  ['-D', data, '-p', String(port), ...SETTINGS.flatMap((setting) => ['-c', setting])],
  { ...identity, cwd: '/', stdio: ['ignore', log, log] },
)
const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()))

const stop = async (code: number): Promise<never> => {
  // fast shutdown: nobody's transaction matters here
  server.kill('SIGINT')
  await ended
  rmSync(directory, { recursive: true, force: true })
  process.exit(code)
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => void stop(0))
}

const url = `postgres://creditd@127.0.0.1:${port}`
const connect = async (): Promise<pg.Client> => {
  for (;;) {
    const client = new pg.Client({ connectionString: `${url}/postgres` })
    client.on('error', () => {})
    try {
      await client.connect()
      return client
    } catch (error) {
      await client.end().catch(() => {})
      if (server.exitCode !== null) {
        const output = readFileSync(join(directory, 'postgres.log'), 'utf8').slice(-4_000)
        rmSync(directory, { recursive: true, force: true })
        throw new Error(`the test cluster did not start: ${output}`, { cause: error })
      }
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
  }
}
const client = await connect()
writeFileSync(join(directory, 'cluster.tmp'), JSON.stringify({ url, pid: process.pid }))
renameSync(join(directory, 'cluster.tmp'), join(directory, 'cluster.json'))

let idleSince = Date.now()
const check = async (): Promise<void> => {
  if (!existsSync(join(directory, 'cluster.json')) || server.exitCode !== null) return stop(1)
  const { rowCount } = await client.query(
    `select 1 from pg_stat_activity
     where backend_type = 'client backend' and pid <> pg_backend_pid() limit 1`,
  )
  if (rowCount) idleSince = Date.now()
  if (Date.now() - idleSince > IDLE_LIMIT_MS) await stop(0)
}
setInterval(() => void check().catch(() => stop(1)), CHECK_EVERY_MS)
