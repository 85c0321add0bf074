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
  async lastOutcome(name, pattern) {
    const [row] = await orm
      .select({ outcome: jobRuns.outcome })
      .from(jobRuns)
      .where(and(eq(jobRuns.name, name), like(jobRuns.outcome, pattern)))
      .orderBy(desc(jobRuns.slot))
      .limit(1)
    return row?.outcome ?? null
  },
})
