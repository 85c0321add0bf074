import { index, jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })

/** Writes outside the ledger, by the digest of caller and key; `result` null: still under way. */
export const idempotencyRecords = pgTable(
  'idempotency_records',
  {
    key: uuid().primaryKey(),
    digest: uuid().notNull(),
    /** The claim of whoever is at work; a claim left behind by a crash is taken over. */
    claim: text().notNull(),
    result: jsonb(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
  },
  (t) => [index('idempotency_records_expiry').on(t.expiresAt)],
)
