/**
 * Runs the tests, with a throw-away PostgreSQL of this run's own.
 *
 *   npm test                          the checks, then every test
 *   npm test -- <files and options>   these test files only, any option of tap
 *   npm run test:unit | test:integration | test:e2e
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT, readCluster, startKeeper } from '../test/helpers/cluster.js'

const CLUSTER_DEADLINE_MS = 60_000
const SUITES = ['unit', 'integration', 'e2e']

/** Settings of the machine at hand must not reach the tests: they bring their own. */
const FOREIGN = /^(PG[A-Z]+|DATABASE_.*|REDIS_.*|CREDITD_.*|DATA_DIR|PORT|HOST|NODE_ENV|LOG_LEVEL)$/

const suiteOf = (file: string): string => {
  if (file.startsWith(join('test', 'e2e'))) return 'e2e'
  const text = readFileSync(join(ROOT, file), 'utf8')
  const isAlone = !/from '[./]*helpers\/(database|server|cluster|service)[\w-]*\.js'/.test(text)
  return isAlone ? 'unit' : 'integration'
}

const filesOf = (suites: readonly string[]): string[] =>
  (readdirSync(join(ROOT, 'test'), { recursive: true }) as string[])
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('test', name))
    .filter((file) => suites.includes(suiteOf(file)))
    .sort()

let running: ChildProcess | undefined

const run = (command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> =>
  new Promise((resolve, reject) => {
    running = spawn(command, args, { cwd: ROOT, stdio: 'inherit', env })
    running.once('error', reject)
    running.once('exit', (code) => resolve(code ?? 1))
  })

const startCluster = async () => {
  const directory = mkdtempSync(join(tmpdir(), 'creditd-test-run-'))
  const keeper = startKeeper(directory)
  keeper.ref()
  const ended = new Promise<void>((resolve) => keeper.once('exit', () => resolve()))
  const stop = async () => {
    keeper.kill('SIGTERM')
    await ended
    rmSync(directory, { recursive: true, force: true })
  }
  const deadlineMs = Date.now() + CLUSTER_DEADLINE_MS
  while (Date.now() < deadlineMs && keeper.exitCode === null) {
    const cluster = readCluster(directory)
    if (cluster) return { url: cluster.url, stop }
    await sleep(50)
  }
  const output = readFileSync(join(directory, 'keeper.log'), 'utf8')
  await stop()
  throw new Error(`the PostgreSQL for the tests did not start:\n${output}`)
}

const environment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !FOREIGN.test(name)))

const runTap = async (args: readonly string[]): Promise<number> => {
  const needsCluster = !process.env.TEST_PG_URL
  const cluster = needsCluster ? await startCluster() : null
  try {
    const env = { ...environment(), ...(cluster && { TEST_PG_URL: cluster.url }) }
    const tap = join(ROOT, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs')
    return await run(process.execPath, [tap, '--disable-coverage', ...args], env)
  } finally {
    await cluster?.stop()
  }
}

const main = async (args: readonly string[]): Promise<number> => {
  const [first = ''] = args
  if (SUITES.includes(first)) return runTap([...filesOf([first]), ...args.slice(1)])
  if (args.length > 0) return runTap(args)
  const checked = await run('npm', ['run', '--silent', 'check'], process.env)
  const tested = await runTap(['-R', 'terse', ...filesOf(SUITES)])
  return checked || tested
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // whoever runs ends with it, and what was started is then put away as usual
  process.on(signal, () => running?.kill(signal))
}
process.exitCode = await main(process.argv.slice(2))
