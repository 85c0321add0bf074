/**
 * Runs the tests, with a throw-away PostgreSQL of this run's own.
 *
 *   npm test                          the checks, then every test
 *   npm test -- <files and options>   these test files only, any option of tap
 *   npm run test:unit | test:integration | test:e2e
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { ROOT, startCluster } from '../test/helpers/cluster.js'

const SUITES = ['unit', 'integration', 'e2e']

/** Settings of the machine at hand must not reach the tests: they bring their own. */
const FOREIGN = /^(PG[A-Z]+|DATABASE_.*|REDIS_.*|CREDITD_.*|DATA_DIR|PORT|HOST|NODE_ENV|LOG_LEVEL)$/

const suiteOf = (file: string): string => {
  if (file.startsWith(join('test', 'e2e'))) return 'e2e'
  const text = readFileSync(join(ROOT, file), 'utf8')
  const isAlone = !/from '[./]*helpers\/(database|server|cluster|app)[\w-]*\.js'/.test(text)
  return isAlone ? 'unit' : 'integration'
}

const filesOf = (suites: readonly string[]): string[] =>
  (readdirSync(join(ROOT, 'test'), { recursive: true }) as string[])
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('test', name))
    .filter((file) => suites.includes(suiteOf(file)))
    .sort()

let running: ChildProcess | undefined

const run = (
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  onLine?: (line: string) => void,
): Promise<number> =>
  new Promise((resolve, reject) => {
    const stdio = ['inherit', onLine ? 'pipe' : 'inherit', 'inherit'] as const
    const child = spawn(command, args, { cwd: ROOT, stdio: [...stdio], env })
    running = child
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
    if (onLine && child.stdout) createInterface({ input: child.stdout }).on('line', onLine)
  })

/** A log wants to know each file and every failure, and not each of thousands of assertions. */
const printWorthReading = (line: string): void => {
  if (/^\s+(ok |# Subtest|1\.\.|# time)|^\s*$|^(1\.\.|# Subtest)/.test(line)) return
  console.log(line)
}

const environment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !FOREIGN.test(name)))

const runTap = async (
  args: readonly string[],
  onLine?: (line: string) => void,
): Promise<number> => {
  const needsCluster = !process.env.TEST_PG_URL
  const cluster = needsCluster ? await startCluster() : null
  try {
    const env = { ...environment(), ...(cluster && { TEST_PG_URL: cluster.url }) }
    const tap = join(ROOT, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs')
    // coverage would slow every process down, and not see those that the tests start themselves
    return await run(process.execPath, [tap, '--disable-coverage', ...args], env, onLine)
  } finally {
    await cluster?.stop()
  }
}

const main = async (args: readonly string[]): Promise<number> => {
  const [first = ''] = args
  if (SUITES.includes(first)) return runTap([...filesOf([first]), ...args.slice(1)])
  if (args.length > 0) return runTap(args)
  const checked = await run('npm', ['run', '--silent', 'check'], process.env)
  const tested = process.stdout.isTTY
    ? await runTap(['-R', 'base', ...filesOf(SUITES)])
    : await runTap(['-R', 'tap', ...filesOf(SUITES)], printWorthReading)
  return checked || tested
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // whoever runs ends with it, and what was started is then put away as usual
  process.on(signal, () => running?.kill(signal))
}
process.exitCode = await main(process.argv.slice(2))
