import { pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })

/** One row a run: the first instance to insert the slot does the work. */
export const jobRuns = pgTable(
  'job_runs',
  {
    name: text().notNull(),
    slot: instant('slot').notNull(),
    startedAt: instant('started_at').notNull(),
    finishedAt: instant('finished_at'),
    outcome: text(),
  },
  (t) => [primaryKey({ columns: [t.name, t.slot] })],
)
