import { execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { ROOT } from '../helpers/cluster.js'

export const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
/** What is replayed over a service of its own. */
export const SELLING = 'Selling credits'

const START_DEADLINE_MS = 90_000

export type Step = { readonly command: string; readonly output: string }

/** The parts of the README, each with its heading's text. */
export const sectionsOf = (text: string): { title: string; text: string }[] =>
  text.split(/^## /m).map((part) => ({ title: part.split('\n', 1)[0] ?? '', text: part }))

/** The commands after `$ `, with their continuation and indented lines, and what stands below. */
export const stepsOf = (block: string): Step[] =>
  block
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const [command = ''] = /^(?:.*\\\n)*.*\n?(?: {9}.*\n)*/.exec(text) ?? []
      return { command: command.trim(), output: text.slice(command.length) }
    })

export const blocksOf = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map((m) => m[1] ?? '')

/** Instants differ from run to run, and what the README leaves open with an ellipsis. */
export function alike(expected: unknown, actual: unknown): unknown {
  if (isOpen(expected) && typeof actual === 'string') return expected
  if (typeof expected === 'string' && isInstant(expected) && isInstant(actual)) return expected
  if (Array.isArray(expected) && Array.isArray(actual)) {
    return actual.map((value, i) => alike(expected[i], value))
  }
  if (!isObject(expected) || !isObject(actual)) return actual
  return Object.fromEntries(Object.entries(actual).map(([k, v]) => [k, alike(expected[k], v)]))
}

const isOpen = (value: unknown): boolean => typeof value === 'string' && value.endsWith('…')

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isInstant = (value: unknown): boolean =>
  typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value)

/** `npm start` with nothing configured but a free port and a directory of the test's own. */
export async function start(
  t: Test,
  env: NodeJS.ProcessEnv,
): Promise<{ port: string; key: string }> {
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

/** Runs a step against the service at this port; it must end well. */
export async function runStep(
  t: Test,
  { command }: Step,
  { port, env }: { readonly port: string; readonly env: NodeJS.ProcessEnv },
): Promise<unknown> {
  const line = command.replaceAll('localhost:3000', `127.0.0.1:${port}`)
  const ended = await run(line, env)
  t.equal(ended.code, 0, `${command}\n${ended.stdout}${ended.stderr}`)
  return JSON.parse(ended.stdout)
}

const run = (line: string, env: NodeJS.ProcessEnv) =>
  new Promise<{ stdout: string; stderr: string; code: unknown }>((resolve) => {
    execFile('bash', ['-c', line], { cwd: ROOT, env }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, code: error ? error.code : 0 }),
    )
  })

/** As text, for the order of the fields is part of what is shown. */
export const shown = (value: unknown): string => JSON.stringify(value, null, 2)
