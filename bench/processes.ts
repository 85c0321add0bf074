import { type ChildProcess, fork, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { findFreePort } from '../src/db/postmaster.js'
import type { CommitPlan, CommitResult } from './load/commits.js'
import type { LoadPlan, LoadResult } from './load/http-load.js'
import type { Guard, Task, TaskResult } from './load/worker.js'

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const BUILD = join(ROOT, 'bench', 'out', 'build', 'bench')
export const EMPTY_SERVER = join(BUILD, 'empty-server.js')
export const SERVICE = join(ROOT, 'dist', 'server.js')

const START_DEADLINE_MS = 30_000
const STOP_TIMEOUT_MS = 10_000
const POLL_MS = 50
/** Beyond its duration a task may take this long: connecting, draining. */
const TASK_GRACE_MS = 25_000

export type Server = { readonly port: number; readonly pid: number; stop(): Promise<void> }

export type ServerOptions = {
  readonly script: string
  /** Where it runs and its output goes; not the checkout, whose .env it would read. */
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
}

/** Starts a server as a process of its own, with nothing of our environment but the path. */
export async function startServer({ script, directory, env }: ServerOptions): Promise<Server> {
  const port = await findFreePort()
  const logFile = join(directory, `${basename(script)}.log`)
  const log = openSync(logFile, 'a')
  const child = spawn(process.execPath, ['--enable-source-maps', script], {
    cwd: directory,
    // in a group of its own: Ctrl-C must reach the bench alone, which then stops it
    detached: true,
    stdio: ['ignore', log, log],
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', PORT: String(port), ...env },
  })
  closeSync(log)
  const stop = () => stopChild(child)
  try {
    await untilHealthy(child, port)
  } catch (error) {
    await stop()
    const output = readFileSync(logFile, 'utf8').slice(-2_000)
    throw new Error(`${script} did not start: ${output}`, { cause: error })
  }
  return { port, pid: child.pid ?? 0, stop }
}

async function untilHealthy(child: ChildProcess, port: number): Promise<void> {
  const deadlineMs = performance.now() + START_DEADLINE_MS
  while (performance.now() < deadlineMs) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
    const reply = await fetch(`http://127.0.0.1:${port}/health`).catch(() => null)
    if (reply?.ok) return
    await sleep(POLL_MS)
  }
  throw new Error(`no answer within ${START_DEADLINE_MS} ms`)
}

/** Waits until everything the service depends on is well, Redis too. */
export async function untilReady(port: number): Promise<void> {
  const deadlineMs = performance.now() + START_DEADLINE_MS
  while (performance.now() < deadlineMs) {
    const reply = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => null)
    const health = (await reply?.json().catch(() => null)) as { status?: string } | null | undefined
    if (health?.status === 'ok') return
    await sleep(POLL_MS)
  }
  throw new Error(`not well within ${START_DEADLINE_MS} ms`)
}

/** In order first; without asking when that takes too long. */
async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await ended
  clearTimeout(timer)
}

export type Generator = {
  readonly pid: number
  load(plan: LoadPlan): Promise<LoadResult>
  commits(plan: CommitPlan): Promise<CommitResult>
  /** Names what it ends, should this process be killed. */
  guard(pids: number[], directory: string): void
  stop(): Promise<void>
}

/** Starts the process that makes the load. */
export function startGenerator(): Generator {
  const child = fork(join(BUILD, 'load', 'worker.js'), { cwd: ROOT, execArgv: [] })
  const run = async (task: Task): Promise<TaskResult> => {
    const result = await answerOf(child, task)
    if ('error' in result) throw new Error(result.error)
    return result
  }
  return {
    pid: child.pid ?? 0,
    async load(plan) {
      const result = await run({ kind: 'load', plan })
      if ('load' in result) return result.load
      throw new Error('the generator did something else')
    },
    async commits(plan) {
      const result = await run({ kind: 'commits', plan })
      if ('commits' in result) return result.commits
      throw new Error('the generator did something else')
    },
    guard: (pids, directory) => child.send({ kind: 'guard', pids, directory } satisfies Guard),
    stop: async () => {
      // it ignores the signals that Ctrl-C sends to all
      child.kill('SIGKILL')
    },
  }
}

function answerOf(child: ChildProcess, task: Task): Promise<TaskResult> {
  return new Promise((resolve, reject) => {
    const timeoutMs = task.plan.durationMs + TASK_GRACE_MS
    const finish = (act: () => void) => {
      clearTimeout(timer)
      child.off('message', onMessage).off('exit', onExit)
      act()
    }
    const onMessage = (result: TaskResult) => finish(() => resolve(result))
    const onExit = () => finish(() => reject(new Error('the load generator is gone')))
    const onTimeout = () => finish(() => reject(new Error(`no result within ${timeoutMs} ms`)))
    const timer = setTimeout(onTimeout, timeoutMs)
    child.once('message', onMessage).once('exit', onExit)
    child.send(task)
  })
}
