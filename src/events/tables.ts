import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  check,
  index,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
} from 'drizzle-orm/pg-core'

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })
const count = (name: string) => bigint(name, { mode: 'number' })

/** One row: how far the feed goes. Whoever gives events their positions holds its lock. */
export const eventRelay = pgTable(
  'event_relay',
  {
    id: smallint().primaryKey(),
    lastPosition: count('last_position').notNull(),
    /** Events up to this one are no longer kept. */
    prunedPosition: count('pruned_position').notNull(),
  },
  (t) => [
    check('event_relay_one_row', sql`${t.id} = 1`),
    check('event_relay_in_order', sql`${t.prunedPosition} <= ${t.lastPosition}`),
  ],
)

/** How many events an account has had; stays when the events themselves go. */
export const eventSequences = pgTable('event_sequences', {
  accountId: text('account_id').primaryKey(),
  lastSeq: count('last_seq').notNull(),
})

/** Where events are sent to. */
export const webhookEndpoints = pgTable(
  'webhook_endpoints',
  {
    id: text().primaryKey(),
    createdAt: instant('created_at').notNull(),
    url: text().notNull(),
    /** null: all, also those that there will be. */
    types: text().array(),
    description: text(),
    secret: text().notNull(),
    /** Signs too until then. */
    oldSecret: text('old_secret'),
    oldSecretEndsAt: instant('old_secret_ends_at'),
    enabled: boolean().notNull(),
    disabledAt: instant('disabled_at'),
    disabledReason: text('disabled_reason'),
    /** It is gone for its operator; the row goes when its deliveries have. */
    deletedAt: instant('deleted_at'),
    /** Nothing is sent before; the receiver has asked for a pause. */
    pausedUntil: instant('paused_until'),
    /** Since when no attempt has succeeded. */
    failingSince: instant('failing_since'),
    lastDeliveredAt: instant('last_delivered_at'),
    /** Of the last attempt that failed: what was answered, and why. */
    lastFailedAt: instant('last_failed_at'),
    lastStatus: smallint('last_status'),
    lastError: text('last_error'),
  },
  (t) => [
    check(
      'webhook_endpoints_old_secret_ends',
      sql`
      (${t.oldSecret} is null) = (${t.oldSecretEndsAt} is null)`,
    ),
    check('webhook_endpoints_deleted_is_off', sql`${t.deletedAt} is null or not ${t.enabled}`),
  ],
)

/** What is still to be sent, and what was given up; a row goes when the receiver has the event. */
export const eventDeliveries = pgTable(
  'event_deliveries',
  {
    endpointId: text('endpoint_id')
      .notNull()
      .references(() => webhookEndpoints.id),
    position: count('position').notNull(),
    accountId: text('account_id').notNull(),
    eventId: text('event_id').notNull(),
    type: text().notNull(),
    /** When the event happened. */
    createdAt: instant('created_at').notNull(),
    status: text().$type<'pending' | 'failed'>().notNull(),
    attempts: smallint().notNull(),
    nextAttemptAt: instant('next_attempt_at').notNull(),
    lastAttemptAt: instant('last_attempt_at'),
    lastStatus: smallint('last_status'),
    lastError: text('last_error'),
  },
  (t) => [
    primaryKey({ columns: [t.endpointId, t.position] }),
    index('event_deliveries_due')
      .on(t.endpointId, t.nextAttemptAt, t.position)
      .where(sql`status = 'pending'`),
    check('event_deliveries_status_known', sql`${t.status} in ('pending', 'failed')`),
  ],
)

/** Lots of which it was told that they will expire; a row goes after they have. */
export const expiryNotices = pgTable(
  'expiry_notices',
  {
    accountId: text('account_id').notNull(),
    grantSeq: count('grant_seq').notNull(),
    expiresAt: instant('expires_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.grantSeq] }),
    index('expiry_notices_expiry').on(t.expiresAt),
  ],
)
