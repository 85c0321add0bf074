/** The process that makes the load. Does one task at a time, as told by its parent. */
import { rmSync } from 'node:fs'
import { type CommitPlan, type CommitResult, runCommits } from './commits.js'
import { type LoadPlan, type LoadResult, runLoad } from './http-load.js'

export type Task =
  | { readonly kind: 'load'; readonly plan: LoadPlan }
  | { readonly kind: 'commits'; readonly plan: CommitPlan }

export type TaskResult =
  | { readonly load: LoadResult }
  | { readonly commits: CommitResult }
  | { readonly error: string }

/** What must not outlive the parent, should it be killed without a chance to tidy up. */
export type Guard = { readonly kind: 'guard'; readonly pids: number[]; readonly directory: string }

const GRACE_MS = 1_000

let guarded: Guard | null = null

const run = async (task: Task): Promise<TaskResult> => {
  try {
    return task.kind === 'load'
      ? { load: await runLoad(task.plan) }
      : { commits: await runCommits(task.plan) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

const tidyUp = ({ pids, directory }: Guard): void => {
  for (const pid of pids) {
    try {
      // to a database server: at once, without a checkpoint; its data goes anyway
      process.kill(pid, 'SIGQUIT')
    } catch {
      // it has ended
    }
  }
  setTimeout(() => {
    rmSync(directory, { recursive: true, force: true })
    process.exit()
  }, GRACE_MS)
}

process.on('message', (message: Task | Guard) => {
  if (message.kind === 'guard') guarded = message
  else void run(message).then((result) => process.send?.(result))
})
process.on('disconnect', () => (guarded === null ? process.exit() : tidyUp(guarded)))
// Ctrl-C reaches the whole group: the parent decides when this ends
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
