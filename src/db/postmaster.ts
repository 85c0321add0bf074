import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.js'

/** How the embedded server is run; durability is left at its safe defaults, and said so. */
const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'max_connections=100',
  'shared_buffers=128MB',
  'fsync=on',
  'full_page_writes=on',
  'synchronous_commit=on',
  // small statements only; and a container's /dev/shm is often too small for more
  'max_parallel_workers_per_gather=0',
  'jit=off',
  // the service tells of its own failed statements; a log of them here would only grow
  'log_min_messages=fatal',
  'log_min_error_statement=panic',
]

/** An orderly stop writes a checkpoint; after this the server is stopped as by a crash. */
const STOP_TIMEOUT_MS = 15_000
const POLL_MS = 25

export type Postmaster = { readonly pid: number; readonly port: number }

/** The server that runs on this cluster; null when there is none, whatever its pid file says. */
export const findPostmaster = (cluster: Cluster): Postmaster | null => {
  const lines = readPidFile(cluster)
  if (lines === null) return null
  const [pid = 0, , , port = 0] = lines.map(Number)
  if (!(pid > 0 && port > 0) || !isPostgresOf(pid, cluster)) return null
  return { pid, port }
}

/**
 * After a crash of the machine the pid in the file may by now be anybody's, and PostgreSQL would
 * refuse to start because of it. A pid that nobody has, it sees through by itself.
 */
export const removeStalePidFile = (cluster: Cluster): boolean => {
  const pid = Number(readPidFile(cluster)?.[0])
  if (!(pid > 0) || !isAlive(pid) || isPostgresOf(pid, cluster)) return false
  rmSync(join(cluster.data, 'postmaster.pid'), { force: true })
  return true
}

/** Starts the server in a session of its own: Ctrl-C must reach the service only. */
export const launchPostmaster = (cluster: Cluster, port: number): (() => string | null) => {
  const log = openSync(cluster.logFile, 'a', 0o600)
  const offset = statSync(cluster.logFile).size
  const args = ['-D', cluster.dataArgument, '-p', String(port)]
  const child = spawn(
    join(cluster.binaries, 'postgres'),
    [...args, ...SETTINGS.flatMap((setting) => ['-c', setting])],
    {
      ...cluster.identity,
      cwd: cluster.workingDirectory,
      stdio: ['ignore', log, log],
      detached: true,
      env: cleanEnvironment(),
    },
  )
  closeSync(log)
  let failure: string | null = null
  child.once('error', (error) => {
    failure = error.message
  })
  child.once('exit', (code, signal) => {
    failure = `it ended with ${code ?? signal}: ${lastWords(cluster, offset)}`
  })
  child.unref()
  return () => failure
}

/** What it wrote into its log since the start; the log, and all of the directory, may be gone. */
const lastWords = ({ logFile }: Cluster, offset: number): string => {
  try {
    const output = readFileSync(logFile).subarray(offset).toString()
    return output.trim().slice(-1_000).replace(/\s+/g, ' ') || 'it said nothing'
  } catch (error) {
    return `its log can not be read (${(error as Error).message})`
  }
}

/** Stops the server in order, and after a while without asking. */
export const stopPostmaster = async (cluster: Cluster, isOrderly = true): Promise<void> => {
  const postmaster = findPostmaster(cluster)
  if (!postmaster) return
  signal(postmaster.pid, isOrderly ? 'SIGINT' : 'SIGQUIT')
  const endMs = performance.now() + STOP_TIMEOUT_MS
  while (findPostmaster(cluster)?.pid === postmaster.pid) {
    if (performance.now() > endMs) {
      if (!isOrderly) return
      return stopPostmaster(cluster, false)
    }
    await sleep(POLL_MS)
  }
}

export const findFreePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })

/** Only what a server needs: PGDATA and the like of the operator's shell would mislead it. */
export const cleanEnvironment = (): NodeJS.ProcessEnv => ({ LC_ALL: 'C', TZ: 'UTC' })

const readPidFile = (cluster: Cluster): readonly string[] | null => {
  try {
    return readFileSync(join(cluster.data, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return null
  }
}

const isPostgresOf = (pid: number, cluster: Cluster): boolean => {
  if (process.platform !== 'linux') return isAlive(pid)
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    if (!/^Name:\s+postgres/m.test(status) || /^State:\s+Z/m.test(status)) return false
    // its working directory is its data directory, and no path can lie about that
    const here = statSync(cluster.data)
    const there = statSync(`/proc/${pid}/cwd`)
    return here.ino === there.ino && here.dev === there.dev
  } catch (error) {
    // another user's process does not show it; that it is a PostgreSQL must do
    return isForbidden(error)
  }
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return isForbidden(error)
  }
}

const isForbidden = (error: unknown): boolean =>
  ['EACCES', 'EPERM'].includes(String((error as NodeJS.ErrnoException).code))

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // it has ended meanwhile
  }
}
