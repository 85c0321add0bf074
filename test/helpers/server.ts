import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT } from './cluster.js'
import type { TestContext } from './database.js'

/** Long enough for a busy machine; a start takes one or two seconds. */
const READY_DEADLINE_MS = 60_000
const STOP_DEADLINE_MS = 30_000

/** An administrator's key that every service of a test accepts, unless told otherwise. */
export const TEST_KEY = 'ck_test_0123456789012345678901234567890123456789012'

/** What node is given to run the service as it stands in src. */
const FROM_SOURCE: readonly string[] = [
  `--import=${import.meta.resolve('tsx')}`,
  '--enable-source-maps',
  join(ROOT, 'src/server.ts'),
]

export type ServiceProcess = {
  /** Where it listens, for example http://127.0.0.1:41235. */
  readonly url: string
  readonly pid: number
  /** Everything it printed so far. */
  output(): string
  /** The lines of its log. */
  log(): Record<string, unknown>[]
  /** A call with the test's key; `body` is sent as JSON. */
  call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Response>
  /** Sends SIGTERM and waits for the end; gives the exit code. */
  stop(): Promise<number | null>
  /** As if the machine had lost it: no chance to say anything. */
  kill9(): Promise<void>
  /** Resolves with the exit code when it has ended. */
  readonly ended: Promise<number | null>
}

/** A directory of the test's own, removed when it ends. */
export const temporaryDirectory = (t: TestContext): string => {
  const directory = mkdtempSync(join(tmpdir(), 'creditd-run-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/**
 * A real service process on a free port, ready to serve; stopped when the test ends. `env` is all
 * of its environment but PATH, PORT, HOST and CREDITD_API_KEY, which it may set too.
 */
export const startService = async (
  t: TestContext,
  env: Record<string, string>,
  program: readonly string[] = FROM_SOURCE,
): Promise<ServiceProcess> => {
  const launched = launchService(t, env, program)
  const deadline = new Promise<never>((_resolve, reject) => {
    setTimeout(() => reject(new Error('it was not ready in time')), READY_DEADLINE_MS).unref()
  })
  const died = launched.ended.then((code) => {
    throw new Error(`it ended with ${code}`)
  })
  try {
    return await Promise.race([launched.ready, died, deadline])
  } catch (error) {
    throw new Error(`the service did not start: ${launched.output()}`, { cause: error })
  }
}

/** The same without waiting: for services that are expected not to start. */
export const launchService = (
  t: TestContext,
  env: Record<string, string>,
  program: readonly string[] = FROM_SOURCE,
) => {
  const child = spawn(process.execPath, program, {
    cwd: temporaryDirectory(t),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      HOST: '127.0.0.1',
      CREDITD_API_KEY: TEST_KEY,
      ...env,
    },
  })
  const output = collect(child)
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code))
  })
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) await stop(child, ended)
    if (!t.passing()) t.comment(output())
  })
  const ready = until(child, () => addressIn(output())).then((url) =>
    serviceOf(child, url, output, ended),
  )
  ready.catch(() => {})
  return { child, output, ended, ready }
}

const serviceOf = (
  child: ChildProcess,
  url: string,
  output: () => string,
  ended: Promise<number | null>,
): ServiceProcess => ({
  url,
  pid: child.pid ?? 0,
  output,
  ended,
  log: () =>
    output()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>),
  call: (method, path, body, headers = {}) =>
    fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${TEST_KEY}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }),
  stop: () => stop(child, ended),
  kill9: async () => {
    child.kill('SIGKILL')
    await ended
  },
})

const stop = async (child: ChildProcess, ended: Promise<number | null>) => {
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
  const code = await ended
  clearTimeout(timer)
  return code
}

const collect = (child: ChildProcess): (() => string) => {
  let text = ''
  const add = (chunk: Buffer) => {
    text += chunk.toString()
  }
  child.stdout?.on('data', add)
  child.stderr?.on('data', add)
  return () => text
}

const until = <T>(child: ChildProcess, look: () => T | null): Promise<T> =>
  new Promise((resolve) => {
    const check = () => {
      const found = look()
      if (found !== null) resolve(found)
    }
    child.stdout?.on('data', check)
  })

const addressIn = (text: string): string | null => {
  const line = text.split('\n').find((candidate) => candidate.endsWith('"msg":"ready"}'))
  return line ? (JSON.parse(line) as { url: string }).url : null
}
