import { spawn } from 'node:child_process'
import { cpSync, realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from './cluster.js'
import type { TestContext } from './database.js'
import { temporaryDirectory } from './server.js'

const COPIED = [
  'src',
  'migrations',
  'scripts',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'drizzle.config.ts',
]
const END_DEADLINE_MS = 20_000
const POLL_MS = 25

/** A copy of the checkout that a test may change; the packages are linked. */
export const copyCheckout = (t: TestContext): string => {
  // some tools take paths apart, and do not expect links in them
  const checkout = realpathSync(temporaryDirectory(t))
  for (const name of COPIED) cpSync(join(ROOT, name), join(checkout, name), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(checkout, 'node_modules'))
  return checkout
}

export type ScriptRun = {
  /** Everything it printed so far. */
  output(): string
  /** Waits until the output fits; throws with all of it when it does not in time. */
  says(pattern: RegExp, withinMs: number): Promise<RegExpExecArray>
  /** Signals all of its processes, as the terminal does; gives the exit code when all are gone. */
  end(signal: 'SIGINT' | 'SIGTERM'): Promise<number | null>
  readonly ended: Promise<number | null>
}

/** Starts `npm run <args>` in a process group of its own, which is gone when the test ends. */
export const runScript = (
  t: TestContext,
  checkout: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): ScriptRun => {
  const child = spawn('npm', ['run', '--silent', ...args], {
    cwd: checkout,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, NO_COLOR: '1', npm_config_update_notifier: 'false', ...env },
  })
  let text = ''
  const add = (chunk: Buffer) => {
    text += chunk.toString()
  }
  child.stdout.on('data', add)
  child.stderr.on('data', add)
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const group = -(child.pid ?? 0)
  const end = async (signal: NodeJS.Signals) => {
    signalGroup(group, signal)
    const endMs = performance.now() + END_DEADLINE_MS
    while (isGroupAlive(group) && performance.now() < endMs) await sleep(POLL_MS)
    if (isGroupAlive(group)) throw new Error(`it did not end by ${signal}: ${text}`)
    return ended
  }
  t.teardown(() => signalGroup(group, 'SIGKILL'))
  const says = async (pattern: RegExp, withinMs: number) => {
    const endMs = performance.now() + withinMs
    for (;;) {
      const found = pattern.exec(text)
      if (found) return found
      if (performance.now() > endMs) throw new Error(`it did not say ${pattern}: ${text}`)
      await sleep(POLL_MS)
    }
  }
  return { output: () => text, says, end, ended }
}

const signalGroup = (group: number, signal: NodeJS.Signals | 0): boolean => {
  try {
    return process.kill(group, signal)
  } catch {
    return false
  }
}

/** Whether any process of the group is left. */
const isGroupAlive = (group: number): boolean => signalGroup(group, 0)
