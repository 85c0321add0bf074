import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  check,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  uniqueIndex,
} from 'drizzle-orm/pg-core'

const credits = (name: string) => bigint(name, { mode: 'number' })
const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })

/** Plans: how many credits a month, of which tier, and how they are sold. */
export const plans = pgTable(
  'subscription_credit_config',
  {
    id: text().primaryKey(),
    tier: text().notNull(),
    name: text().notNull(),
    description: text(),
    monthlyCredits: credits('monthly_credits').notNull(),
    rolloverEnabled: boolean('rollover_enabled').notNull().default(false),
    rolloverMax: credits('rollover_max').notNull().default(0),
    bonusPercentage: integer('bonus_percentage').notNull().default(0),
    trialCredits: boolean('trial_credits').notNull().default(false),
    stripePriceId: text('stripe_price_id'),
    creemPriceId: text('creem_price_id'),
    active: boolean().notNull().default(true),
    sortOrder: integer('sort_order').notNull().default(0),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('plans_stripe_price').on(t.stripePriceId).where(sql`stripe_price_id is not null`),
    uniqueIndex('plans_creem_price').on(t.creemPriceId).where(sql`creem_price_id is not null`),
    check('plans_monthly_credits_in_range', sql`${t.monthlyCredits} between 0 and 1000000000000`),
    check('plans_rollover_max_in_range', sql`${t.rolloverMax} between 0 and 1000000000000`),
    check('plans_bonus_percentage_in_range', sql`${t.bonusPercentage} between 0 and 1000`),
  ],
)

const STATUSES = sql`('active', 'trialing', 'past_due', 'unpaid', 'paused', 'canceled')`

/** The one subscription of an account. */
export const subscriptions = pgTable(
  'subscriptions',
  {
    accountId: text('account_id').primaryKey(),
    planId: text('plan_id')
      .notNull()
      .references(() => plans.id),
    /** Which plan follows, and from when on. */
    nextPlanId: text('next_plan_id').references(() => plans.id),
    nextPlanAt: instant('next_plan_at'),
    status: text().notNull(),
    provider: text(),
    providerSubscriptionId: text('provider_subscription_id'),
    /** Periods are its monthly anniversaries. */
    anchorAt: instant('anchor_at').notNull(),
    /** Null: for ever, or with a provider, nothing is paid yet. */
    paidUntil: instant('paid_until'),
    endsAt: instant('ends_at'),
    /** When the job looks at it next; null: not by itself. */
    nextAllocationAt: instant('next_allocation_at'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    index('subscriptions_due').on(t.nextAllocationAt).where(sql`next_allocation_at is not null`),
    check('subscriptions_status_known', sql`${t.status} in ${STATUSES}`),
    check(
      'subscriptions_provider_whole',
      sql`(${t.provider} is null) = (${t.providerSubscriptionId} is null)`,
    ),
    check(
      'subscriptions_next_plan_whole',
      sql`(${t.nextPlanId} is null) = (${t.nextPlanAt} is null)`,
    ),
  ],
)

/** What an account gets for a period: decided here, then written to the ledger. */
export const allocations = pgTable(
  'allocations',
  {
    accountId: text('account_id').notNull(),
    planId: text('plan_id').notNull(),
    periodStart: instant('period_start').notNull(),
    periodEnd: instant('period_end').notNull(),
    credits: credits('credits').notNull(),
    bonus: credits('bonus').notNull(),
    rolloverMax: credits('rollover_max').notNull(),
    /** Null until it is known. */
    rolledOver: credits('rolled_over'),
    tier: text().notNull(),
    /** The monthly lot; null: there was none to be made. */
    grantSeq: credits('grant_seq'),
    createdAt: instant('created_at').notNull(),
    doneAt: instant('done_at'),
    attempts: smallint().notNull().default(0),
    nextAttemptAt: instant('next_attempt_at'),
    lastError: text('last_error'),
  },
  (t) => [
    primaryKey({ name: 'allocations_pk', columns: [t.accountId, t.planId, t.periodStart] }),
    index('allocations_open').on(t.nextAttemptAt).where(sql`next_attempt_at is not null`),
    check('allocations_period_forward', sql`${t.periodEnd} > ${t.periodStart}`),
    check(
      'allocations_not_negative',
      sql`${t.credits} >= 0 and ${t.bonus} >= 0 and ${t.rolloverMax} >= 0`,
    ),
    check('allocations_rollover_in_range', sql`${t.rolledOver} between 0 and ${t.rolloverMax}`),
    check(
      'allocations_open_or_done',
      sql`(${t.doneAt} is null) = (${t.nextAttemptAt} is not null)`,
    ),
  ],
)

/** What the providers told of their subscriptions last, and when that was read. */
export const providerSubscriptions = pgTable(
  'provider_subscriptions',
  {
    provider: text().notNull(),
    subscriptionId: text('subscription_id').notNull(),
    accountId: text('account_id').notNull(),
    planId: text('plan_id')
      .notNull()
      .references(() => plans.id),
    /** Null, like `asOf`: only payments were heard of. */
    status: text(),
    willEnd: boolean('will_end').notNull(),
    asOf: instant('as_of'),
    /** Since when, by readings, it has been this plan. */
    planSince: instant('plan_since'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    primaryKey({ name: 'provider_subscriptions_pk', columns: [t.provider, t.subscriptionId] }),
    index('provider_subscriptions_account').on(t.accountId),
    check('provider_subscriptions_status_known', sql`${t.status} in ${STATUSES}`),
    check(
      'provider_subscriptions_reading_whole',
      sql`(${t.status} is null) = (${t.asOf} is null)
      and (${t.planSince} is null) = (${t.asOf} is null)`,
    ),
  ],
)

/** Their paid periods, for ever: one payment counts once. */
export const subscriptionPayments = pgTable(
  'subscription_payments',
  {
    provider: text().notNull(),
    paymentId: text('payment_id').notNull(),
    subscriptionId: text('subscription_id').notNull(),
    planId: text('plan_id')
      .notNull()
      .references(() => plans.id),
    reason: text().notNull(),
    amountPaid: credits('amount_paid').notNull(),
    periodStart: instant('period_start').notNull(),
    periodEnd: instant('period_end').notNull(),
    /** Null: reason and period tell from when on it counts. */
    paidAt: instant('paid_at'),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [
    primaryKey({ name: 'subscription_payments_pk', columns: [t.provider, t.paymentId] }),
    foreignKey({
      name: 'subscription_payments_subscription',
      columns: [t.provider, t.subscriptionId],
      foreignColumns: [providerSubscriptions.provider, providerSubscriptions.subscriptionId],
    }),
    index('subscription_payments_period').on(t.provider, t.subscriptionId, t.periodStart),
    check('subscription_payments_reason_known', sql`${t.reason} in ('create', 'cycle', 'update')`),
    check('subscription_payments_period_forward', sql`${t.periodEnd} > ${t.periodStart}`),
  ],
)
