import { Cron } from 'croner'
import { and, eq, lt, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { BaseLogger } from 'pino'
import { jobRuns } from './tables.js'

export type JobsDeps = {
  readonly db: { readonly orm: NodePgDatabase }
  readonly log: Pick<BaseLogger, 'debug' | 'info' | 'warn' | 'error'>
  /** Ms since the epoch. */
  readonly now: () => number
  /** Who ran a job, for the log and the row. */
  readonly instanceId: string
}

export type Job = {
  readonly name: string
  /** Five or six fields (seconds first), in UTC. */
  readonly cron: string
  /**
   * The work. It must be safe to repeat, and end soon when `signal` is aborted. What it returns is
   * kept as the outcome of the run.
   */
  readonly run: (signal: AbortSignal) => Promise<string | undefined>
  /** After this the run counts as failed and its signal is aborted. */
  readonly timeoutMs: number
  /**
   * `instances`: one instance does each slot, told apart by a row (the default). `all`: every
   * instance runs it; for work that is claimed row by row, every few seconds.
   */
  readonly once?: 'instances' | 'all'
}

export type LastRun = {
  readonly name: string
  readonly startedAtMs: number
  readonly finishedAtMs: number | null
  readonly outcome: string | null
  readonly hasFailed: boolean
}

export type Jobs = {
  add(job: Job): void
  /** Begins the schedule; a slot that was missed while no instance ran is caught up, once. */
  start(): Promise<void>
  /** No new runs; waits for those under way, which are told by their signal. */
  stop(): Promise<void>
  /** The last run of each job by this instance. */
  lastRuns(): readonly LastRun[]
  /** Deletes rows of runs older than the retention; gives the count. */
  cleanUp(): Promise<number>
}

const FAILED = 'failed: '
const MAX_OUTCOME_LENGTH = 500

/** Enough to see what happened last month; the newest slot of each job is always kept. */
const RETENTION_MS = 31 * 24 * 3_600_000

/** How long a run may go on after its signal, before stop() no longer waits for it. */
const STOP_GRACE_MS = 5_000

/** Less than the second that is the shortest interval. */
const TIMER_SLACK_MS = 500

type Entry = {
  readonly job: Job
  cron: Cron | null
  running: Promise<void> | null
  abort: AbortController | null
  last: LastRun | null
}

/**
 * Scheduled work, each slot once across all instances: whoever inserts the slot's row does it. A
 * run that fails is logged, keeps its row with the reason, and waits for its next slot.
 */
export const createJobs = (deps: JobsDeps): Jobs => {
  const entries = new Map<string, Entry>()
  let isStopped = false

  const begin = (entry: Entry, slotMs: number): void => {
    // a run that outlasts its interval is not joined by a second one
    if (isStopped || entry.running) return
    entry.running = runSlot(deps, entry, slotMs).finally(() => {
      entry.running = null
      entry.abort = null
    })
  }

  return {
    add(job) {
      if (entries.has(job.name)) throw new Error(`the job ${job.name} exists already`)
      entries.set(job.name, { job, cron: null, running: null, abort: null, last: null })
    },
    async start() {
      for (const entry of entries.values()) {
        const missedMs = await missedSlotOf(deps, entry.job)
        if (isStopped) return
        if (missedMs !== null) begin(entry, missedMs)
        entry.cron = new Cron(entry.job.cron, { timezone: 'UTC', unref: true }, () => {
          // the slot as planned, not the moment at which this process came round to it
          begin(entry, newestSlot(entry.job, deps.now()) ?? deps.now())
        })
      }
    },
    async stop() {
      isStopped = true
      const all = [...entries.values()]
      for (const { cron, abort } of all) {
        cron?.stop()
        abort?.abort(new StopError())
      }
      const ended = Promise.all(all.map(({ running }) => running))
      await Promise.race([ended, after(STOP_GRACE_MS)])
    },
    lastRuns: () => [...entries.values()].flatMap(({ last }) => (last ? [last] : [])),
    cleanUp: () => cleanUp(deps),
  }
}

const runSlot = async (deps: JobsDeps, entry: Entry, slotMs: number): Promise<void> => {
  const { job } = entry
  const slot = new Date(slotMs)
  try {
    if (job.once !== 'all' && !(await claim(deps, job, slot))) return
  } catch (error) {
    return deps.log.warn({ err: error, job: job.name }, 'a job could not be claimed')
  }
  const startedAtMs = deps.now()
  entry.abort = new AbortController()
  const outcome = await attempt(deps, job, entry.abort)
  const finishedAtMs = deps.now()
  const hasFailed = outcome?.startsWith(FAILED) ?? false
  entry.last = { name: job.name, startedAtMs, finishedAtMs, outcome, hasFailed }
  if (job.once === 'all') return
  await deps.db.orm
    .update(jobRuns)
    .set({ finishedAt: new Date(finishedAtMs), outcome: outcome ?? 'done' })
    .where(and(eq(jobRuns.name, job.name), eq(jobRuns.slot, slot)))
    .catch((error) => deps.log.warn({ err: error, job: job.name }, 'a run could not be recorded'))
}

/** Whether this instance is the one that does the slot. */
const claim = async (deps: JobsDeps, job: Job, slot: Date): Promise<boolean> => {
  const { rowCount } = await deps.db.orm
    .insert(jobRuns)
    .values({ name: job.name, slot, startedAt: new Date(deps.now()) })
    .onConflictDoNothing()
  return rowCount === 1
}

/** What to note about the run; it never throws. */
const attempt = async (
  { log, now, instanceId }: JobsDeps,
  job: Job,
  abort: AbortController,
): Promise<string | null> => {
  const startedAtMs = now()
  try {
    const work = job.run(abort.signal)
    const outcome = (await withinTime(work, job.timeoutMs, abort)) ?? null
    log.debug({ job: job.name, instanceId, outcome, durationMs: now() - startedAtMs }, 'job done')
    return outcome?.slice(0, MAX_OUTCOME_LENGTH) ?? null
  } catch (error) {
    if (abort.signal.reason instanceof StopError) return 'stopped with the service'
    log.error({ err: error, job: job.name, durationMs: now() - startedAtMs }, 'a job failed')
    const reason = error instanceof Error ? error.message : String(error)
    return `${FAILED}${reason}`.slice(0, MAX_OUTCOME_LENGTH)
  }
}

class StopError extends Error {
  override readonly name = 'StopError'
  override readonly message = 'the service is stopping'
}

const withinTime = async <T>(
  work: Promise<T>,
  timeoutMs: number,
  abort: AbortController,
): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const timedOut = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const error = new Error(`it took longer than ${timeoutMs} ms`)
      abort.abort(error)
      reject(error)
    }, timeoutMs)
  })
  try {
    return await Promise.race([work, timedOut])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * The newest slot that passed while no instance ran, if there was one since the last run. A job
 * that never ran has missed nothing.
 */
const missedSlotOf = async (deps: JobsDeps, job: Job): Promise<number | null> => {
  if (job.once === 'all') return null
  const { rows } = await deps.db.orm.execute<{ last: string | null }>(
    sql`select max(${jobRuns.slot}) as last from ${jobRuns} where ${jobRuns.name} = ${job.name}`,
  )
  const last = rows[0]?.last
  if (!last) return null
  const newestMs = newestSlot(job, deps.now())
  return newestMs !== null && newestMs > new Date(last).getTime() ? newestMs : null
}

/** The latest planned time that is not after now; timers may fire a little early. */
const newestSlot = (job: Job, nowMs: number): number | null => {
  const cron = new Cron(job.cron, { timezone: 'UTC', paused: true })
  return cron.previousRuns(1, new Date(nowMs + TIMER_SLACK_MS))[0]?.getTime() ?? null
}

const cleanUp = async ({ db, now }: JobsDeps): Promise<number> => {
  const newest = sql`(
    select max(other.slot) from ${jobRuns} other where other.name = ${jobRuns.name}
  )`
  const { rowCount } = await db.orm
    .delete(jobRuns)
    .where(and(lt(jobRuns.slot, new Date(now() - RETENTION_MS)), lt(jobRuns.slot, newest)))
  return rowCount ?? 0
}

const after = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
