import {
  doublePrecision,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
} from 'drizzle-orm/pg-core'
import type { Notice } from './notice.js'

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })

/** One row an alert: what all instances together know of it. */
export const alerts = pgTable('alerts', {
  name: text().primaryKey(),
  status: text().$type<'quiet' | 'pending' | 'firing'>().notNull(),
  since: instant('since'),
  clearSince: instant('clear_since'),
  evaluatedAt: instant('evaluated_at'),
  value: doublePrecision(),
  threshold: doublePrecision(),
})

/** What each instance read last, for the one that looks at all of them. */
export const alertReadings = pgTable(
  'alert_readings',
  {
    instanceId: text('instance_id').notNull(),
    name: text().notNull(),
    readAt: instant('read_at').notNull(),
    value: doublePrecision().notNull(),
  },
  (t) => [primaryKey({ columns: [t.instanceId, t.name] })],
)

/** Changes that are still to be told; a row goes when the receiver has it. */
export const alertDeliveries = pgTable('alert_deliveries', {
  id: text().primaryKey(),
  name: text().notNull(),
  notice: jsonb().$type<Notice>().notNull(),
  createdAt: instant('created_at').notNull(),
  nextAttemptAt: instant('next_attempt_at').notNull(),
  attempts: smallint().default(0).notNull(),
})
