import { and, desc, eq, like } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { jobRuns } from './tables.js'

export type RunHistory = {
  /** Notes work that was done beside the schedule as a run of the job. */
  note(run: {
    readonly name: string
    readonly startedAtMs: number
    readonly finishedAtMs: number
    readonly outcome: string
  }): Promise<void>
  /**
   * The outcome of the last run of a job by any instance, of those that fit a pattern of SQL's
   * LIKE; null when there is none.
   */
  lastOutcome(name: string, pattern: string): Promise<string | null>
  /** When that run began, in ms since the epoch. */
  lastStart(name: string, pattern: string): Promise<number | null>
}

/** What came of the runs of all instances, as the database has it. */
export const createRunHistory = (orm: NodePgDatabase): RunHistory => ({
  async note({ name, startedAtMs, finishedAtMs, outcome }) {
    const startedAt = new Date(startedAtMs)
    await orm
      .insert(jobRuns)
      .values({ name, slot: startedAt, startedAt, finishedAt: new Date(finishedAtMs), outcome })
      .onConflictDoNothing()
  },
  lastOutcome: async (name, pattern) => (await lastRun(orm, name, pattern))?.outcome ?? null,
  lastStart: async (name, pattern) =>
    (await lastRun(orm, name, pattern))?.startedAt.getTime() ?? null,
})

const lastRun = async (orm: NodePgDatabase, name: string, pattern: string) => {
  const { outcome, startedAt, slot } = jobRuns
  const [row] = await orm
    .select({ outcome, startedAt })
    .from(jobRuns)
    .where(and(eq(jobRuns.name, name), like(outcome, pattern)))
    .orderBy(desc(slot))
    .limit(1)
  return row ?? null
}
