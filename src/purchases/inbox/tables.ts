import { sql } from 'drizzle-orm'
import {
  boolean,
  check,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  timestamp,
  unique,
  uuid,
} from 'drizzle-orm/pg-core'
import type { ProviderName } from '../../payment-facts.js'

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })
const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' })

/** Every event of a provider whose signature was right, once. */
export const webhookInbox = pgTable(
  'webhook_inbox',
  {
    id: uuid().primaryKey(),
    provider: text().$type<ProviderName>().notNull(),
    externalEventId: text('external_event_id').notNull(),
    type: text().notNull(),
    objectId: text('object_id'),
    isLive: boolean('is_live').notNull(),
    providerCreatedAt: instant('provider_created_at').notNull(),
    /** The body, byte by byte as it was signed. */
    raw: bytea().notNull(),
    headers: jsonb().$type<Readonly<Record<string, string>>>().notNull(),
    receivedAt: instant('received_at').notNull(),
    attempts: integer().notNull().default(0),
    /** When it is due; while somebody works on it, when that lease ends. */
    nextAttemptAt: instant('next_attempt_at').notNull(),
    /** What is not done by then is dead. */
    retryUntil: instant('retry_until').notNull(),
    processedAt: instant('processed_at'),
    deadAt: instant('dead_at'),
    outcome: text().$type<'applied' | 'ignored'>(),
    /** Why it is ignored, waits or is dead. */
    lastError: text('last_error'),
  },
  (t) => [
    unique('webhook_inbox_event').on(t.provider, t.externalEventId),
    check('webhook_inbox_outcome_known', sql`${t.outcome} in ('applied', 'ignored')`),
    check(
      'webhook_inbox_outcome_of_processed',
      sql`(${t.processedAt} is null) = (${t.outcome} is null)`,
    ),
    check('webhook_inbox_processed_or_dead', sql`${t.processedAt} is null or ${t.deadAt} is null`),
    index('webhook_inbox_due')
      .on(t.nextAttemptAt)
      .where(sql`${t.processedAt} is null and ${t.deadAt} is null`),
    index('webhook_inbox_dead').on(t.deadAt, t.id).where(sql`${t.deadAt} is not null`),
    index('webhook_inbox_processed').on(t.processedAt).where(sql`${t.processedAt} is not null`),
  ],
)
