import { execFile, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ROOT } from '../helpers/cluster.js'
import { temporaryDirectory } from '../helpers/server.js'

/* The README's shell blocks are run as they stand, and their output must be what it says. */

const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const START_DEADLINE_MS = 90_000

type Step = { readonly command: string; readonly output: string }

/** The commands after `$ `, with their continuation lines, and what stands below each. */
function stepsOf(block: string): Step[] {
  return block
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const [command = ''] = /^(?:.*\\\n)*.*\n?/.exec(text) ?? []
      return { command: command.trim(), output: text.slice(command.length) }
    })
}

const blocks = (language: string): string[] =>
  [...README.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(
    (m) => m[1] ?? '',
  )

/** Instants differ from run to run, and what the README leaves open with an ellipsis. */
function alike(expected: unknown, actual: unknown): unknown {
  if (expected === '…' && typeof actual === 'string') return '…'
  if (typeof expected === 'string' && isInstant(expected) && isInstant(actual)) return expected
  if (Array.isArray(expected) && Array.isArray(actual)) {
    return actual.map((value, i) => alike(expected[i], value))
  }
  if (!isObject(expected) || !isObject(actual)) return actual
  return Object.fromEntries(Object.entries(actual).map(([k, v]) => [k, alike(expected[k], v)]))
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isInstant = (value: unknown): boolean =>
  typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value)

/** `npm start` with nothing configured but a free port and a directory of the test's own. */
async function start(t: Test, env: NodeJS.ProcessEnv): Promise<{ port: string; key: string }> {
  const child = spawn('npm', ['start'], { cwd: ROOT, env, detached: true })
  t.teardown(async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    // npm passes the signal on; the group is the test's own
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM')
    await ended
  })
  let output = ''
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(output)), START_DEADLINE_MS)
    child.once('exit', () => reject(new Error(output)))
    child.stderr.on('data', (data) => {
      output += data
    })
    child.stdout.on('data', (data) => {
      output += data
      const port = /"url":"http:\/\/127\.0\.0\.1:(\d+)".*"msg":"ready"/.exec(output)?.[1]
      const key = /ck_test_[\w-]{43}/.exec(output)?.[0]
      if (port === undefined || key === undefined) return
      clearTimeout(timer)
      resolve({ port, key })
    })
  })
}

const run = (line: string, env: NodeJS.ProcessEnv) =>
  new Promise<{ stdout: string; stderr: string; code: unknown }>((resolve) => {
    execFile('bash', ['-c', line], { cwd: ROOT, env }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, code: error ? error.code : 0 }),
    )
  })

t.test('what the README shows is what happens', async (t) => {
  const { PATH, HOME } = process.env
  const env = { PATH, HOME, PORT: '0', HOST: '127.0.0.1', DATA_DIR: temporaryDirectory(t) }
  t.match(blocks('sh')[0], /^npm ci && npm start$/m, 'the one command that runs it')
  const { port, key } = await start(t, env)
  const steps = blocks('console').flatMap(stepsOf)
  t.ok(steps.length >= 10)
  for (const { command, output } of steps) {
    if (command.startsWith('export KEY=')) continue
    const line = command.replaceAll('localhost:3000', `127.0.0.1:${port}`)
    const { stdout, stderr, code } = await run(line, { ...env, KEY: key })
    t.equal(code, 0, `${command}\n${stdout}${stderr}`)
    const expected: unknown = JSON.parse(output)
    // as text, for the order of the fields is part of what is shown
    const seen = JSON.stringify(alike(expected, JSON.parse(stdout)), null, 2)
    t.equal(seen, JSON.stringify(expected, null, 2), command)
  }
})

t.test('every file that the README points to is there', async (t) => {
  const links = [...README.matchAll(/\]\(([^)]+)\)/g)].map((m) => m[1] ?? '')
  const files = links.filter((link) => !link.startsWith('http'))
  t.ok(files.length >= 5)
  for (const file of files) t.ok(existsSync(join(ROOT, file)), file)
})
