import { sql } from 'drizzle-orm'
import { bigint, check, index, integer, jsonb, pgTable, text, timestamp } from 'drizzle-orm/pg-core'

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })

/** What is known of an account beside its money. */
export const profiles = pgTable(
  'profiles',
  {
    accountId: text('account_id').primaryKey(),
    email: text(),
    metadata: jsonb(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [index('profiles_email').on(sql`lower(${t.email})`)],
)

/** The price list: exactly one of `cost` and `formula` is set; `tierCosts` goes with `cost`. */
export const prices = pgTable(
  'prices',
  {
    action: text().primaryKey(),
    cost: bigint({ mode: 'number' }),
    tierCosts: jsonb('tier_costs').$type<Record<string, number>>(),
    formula: text(),
    minimum: bigint({ mode: 'number' }),
    requiredTier: text('required_tier'),
    description: text(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    check('prices_cost_or_formula', sql`(${t.cost} is null) <> (${t.formula} is null)`),
    check('prices_cost_not_negative', sql`${t.cost} >= 0`),
    check('prices_minimum_not_negative', sql`${t.minimum} >= 0`),
  ],
)

/** Membership tiers; a higher level includes all lower ones. */
export const tiers = pgTable('tiers', {
  id: text().primaryKey(),
  level: integer().notNull(),
})
