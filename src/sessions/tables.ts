import { sql } from 'drizzle-orm'
import { index, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })

/** Sessions that must not come back, until they would have ended anyway. */
export const sessionRevocations = pgTable(
  'session_revocations',
  {
    /** Where the sessions of an account are kept. */
    tag: text().notNull(),
    /** SHA-256 of the token; empty: all sessions that began by `revokedAt`. */
    digest: text().notNull(),
    revokedAt: instant('revoked_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    /** When it was noted last: whoever knows those before reads on from there. */
    notedAt: instant('noted_at').notNull().default(sql`clock_timestamp()`),
  },
  (t) => [
    primaryKey({ columns: [t.tag, t.digest] }),
    index('session_revocations_expiry').on(t.expiresAt),
    index('session_revocations_noted').on(t.notedAt, t.tag, t.digest),
  ],
)

/** Accounts of guests that are still open, and of those who became users, for good. */
export const guestAccounts = pgTable(
  'guest_accounts',
  {
    accountId: text('account_id').primaryKey(),
    createdAt: instant('created_at').notNull(),
    /** When the job looks at it next; null: its conversion is finished. */
    checkAt: instant('check_at'),
    /** The account that its credits go to; null: it is still a guest's. */
    convertedTo: text('converted_to'),
  },
  (t) => [index('guest_accounts_check').on(t.checkAt).where(sql`${t.checkAt} is not null`)],
)
