import { sql } from 'drizzle-orm'
import {
  check,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  timestamp,
  uniqueIndex,
} from 'drizzle-orm/pg-core'

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })

/** Keys of trusted back ends: only the SHA-256 of the key is kept. */
export const apiKeys = pgTable(
  'api_keys',
  {
    id: text().primaryKey(),
    name: text().notNull(),
    /** The first characters of the key, to tell keys apart by eye. */
    prefix: text().notNull(),
    digest: text().notNull(),
    scopes: text().array().notNull(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at'),
    revokedAt: instant('revoked_at'),
    /** Calls that the key may make within the window; null: as many as it likes. */
    rateLimitMax: integer('rate_limit_max'),
    rateLimitWindowSeconds: integer('rate_limit_window_seconds'),
  },
  (t) => [
    uniqueIndex('api_keys_digest').on(t.digest),
    check(
      'api_keys_rate_limit_whole',
      sql`(${t.rateLimitMax} is null) = (${t.rateLimitWindowSeconds} is null)`,
    ),
    check(
      'api_keys_rate_limit_positive',
      sql`${t.rateLimitMax} > 0 and ${t.rateLimitWindowSeconds} > 0`,
    ),
  ],
)

/** Refusals and operators' acts. What succeeded in the ledger is audited by its own row. */
export const auditLogs = pgTable(
  'audit_logs',
  {
    id: text().primaryKey(),
    accountId: text('account_id'),
    action: text().notNull(),
    status: text().$type<'success' | 'failed'>().notNull(),
    actor: text().notNull(),
    requestId: text('request_id'),
    errorCode: text('error_code'),
    errorMessage: text('error_message'),
    metadata: jsonb(),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [
    index('audit_logs_account').on(t.accountId, t.createdAt, t.id),
    index('audit_logs_time').on(t.createdAt, t.id),
    check('audit_logs_status_known', sql`${t.status} in ('success', 'failed')`),
  ],
)
