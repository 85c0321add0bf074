import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

const START_DEADLINE_MS = 60_000

/** Starting a cluster takes longer than this only when whoever was at it is gone. */
const STALE_START_MS = 45_000

type Cluster = { readonly url: string; readonly pid: number }

/**
 * The URL of a PostgreSQL for tests, without a database name: TEST_PG_URL, else the cluster this
 * checkout shares. The first to ask starts it; it ends by itself when nobody uses it any more.
 */
export const ensureCluster = async (): Promise<string> => {
  if (process.env.TEST_PG_URL) return process.env.TEST_PG_URL.replace(/\/$/, '')
  const directory = sharedDirectory()
  const deadlineMs = Date.now() + START_DEADLINE_MS
  while (Date.now() < deadlineMs) {
    const cluster = readCluster(directory)
    if (cluster) return cluster.url
    if (claim(directory)) startKeeper(directory)
    await sleep(50)
  }
  throw new Error(`no test cluster came up; see ${directory}/keeper.log`)
}

/** A cluster of the caller's own, in which nobody else has a transaction open. */
export const startCluster = async () => {
  const directory = mkdtempSync(join(tmpdir(), 'creditd-test-run-'))
  const keeper = startKeeper(directory)
  keeper.ref()
  const ended = new Promise<void>((resolve) => keeper.once('exit', () => resolve()))
  const stop = async () => {
    keeper.kill('SIGTERM')
    await ended
    rmSync(directory, { recursive: true, force: true })
  }
  const deadlineMs = Date.now() + START_DEADLINE_MS
  while (Date.now() < deadlineMs && keeper.exitCode === null) {
    const cluster = readCluster(directory)
    if (cluster) return { url: cluster.url, stop }
    await sleep(50)
  }
  const output = readFileSync(join(directory, 'keeper.log'), 'utf8')
  await stop()
  throw new Error(`the PostgreSQL for the tests did not start:\n${output}`)
}

/** Starts a keeper that ends with its idle limit or a signal; see scripts/test-cluster.ts. */
const startKeeper = (directory: string) => {
  const log = openSync(join(directory, 'keeper.log'), 'a')
  const keeper = spawn(
    process.execPath,
    ['--import=tsx', join(ROOT, 'scripts', 'test-cluster.ts'), directory],
    { cwd: ROOT, detached: true, stdio: ['ignore', log, log], env: plainEnvironment() },
  )
  keeper.unref()
  return keeper
}

/** What is in cluster.json, if its keeper is alive. */
const readCluster = (directory: string): Cluster | null => {
  try {
    const cluster = JSON.parse(readFileSync(join(directory, 'cluster.json'), 'utf8')) as Cluster
    process.kill(cluster.pid, 0)
    return cluster
  } catch {
    return null
  }
}

const sharedDirectory = (): string => {
  // each version has a cluster of its own
  const version = process.env.TEST_POSTGRES_BIN ?? ''
  const mark = createHash('sha256')
    .update(ROOT + version)
    .digest('hex')
    .slice(0, 8)
  return join(tmpdir(), `creditd-test-${userInfo().uid}-${mark}`)
}

/** Whether it is for us to start the cluster: making the directory is the claim. */
const claim = (directory: string): boolean => {
  try {
    mkdirSync(directory)
    return true
  } catch {
    const isLeftBehind =
      existsSync(join(directory, 'cluster.json')) ||
      Date.now() - (statSync(directory, { throwIfNoEntry: false })?.mtimeMs ?? 0) > STALE_START_MS
    if (isLeftBehind) rmSync(directory, { recursive: true, force: true })
    return false
  }
}

/** Without what a test runner puts into the environment of its children. */
const plainEnvironment = (): NodeJS.ProcessEnv => {
  const { NODE_OPTIONS: _options, ...rest } = process.env
  return Object.fromEntries(Object.entries(rest).filter(([name]) => !name.startsWith('TAP')))
}
