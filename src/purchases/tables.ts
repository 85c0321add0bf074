import { type SQL, sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  check,
  index,
  integer,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import type { ProviderName, Reversal } from '../payment-facts.js'
import type { CheckoutState, Freeze, PurchaseStatus } from './state.js'

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })
const whole = (name: string) => bigint(name, { mode: 'number' })

type Column = Parameters<typeof sql>[1]
/** Words of a check are written out: a migration takes no parameters. */
const oneOf = (column: Column, words: SQL) => sql`${column} in (${words})`

const PROVIDERS = sql`'stripe', 'creem', 'manual'`
const CHECKOUTS = sql`'pending', 'processing', 'expired', 'failed', 'paid'`
const FREEZES = sql`'freezing', 'frozen', 'others'`
const STATUSES = sql.raw(
  "'pending', 'processing', 'completed', 'failed', 'expired', 'refunded', 'disputed'",
)
const REVERSAL_STATES = sql.raw(
  "'pending', 'succeeded', 'failed', 'inquiry', 'open', 'withdrawn', 'won', 'lost', 'closed'",
)

/** What is sold. `price` is in the currency's minor units. */
export const creditPackages = pgTable(
  'credit_packages',
  {
    id: text().primaryKey(),
    name: text().notNull(),
    credits: whole('credits').notNull(),
    price: whole('price').notNull(),
    currency: text().notNull(),
    stripePriceId: text('stripe_price_id'),
    /** Creem's product: it has no prices apart from its products. */
    creemPriceId: text('creem_price_id'),
    description: text(),
    popular: boolean().notNull().default(false),
    active: boolean().notNull().default(true),
    sortOrder: integer('sort_order').notNull().default(0),
    createdAt: instant('created_at').notNull().defaultNow(),
    updatedAt: instant('updated_at').notNull().defaultNow(),
  },
  (t) => [
    uniqueIndex('credit_packages_stripe_price').on(t.stripePriceId),
    uniqueIndex('credit_packages_creem_price').on(t.creemPriceId),
    check('credit_packages_id_form', sql`${t.id} ~ '^[a-z0-9_-]{1,64}$'`),
    check('credit_packages_credits_exact', sql`${t.credits} between 1 and 9007199254740991`),
    check('credit_packages_price_exact', sql`${t.price} between 0 and 9007199254740991`),
    check('credit_packages_currency_form', sql`${t.currency} ~ '^[A-Z]{3}$'`),
  ],
)

/** One row a purchase: what was agreed on, what its payment came to, and what became of it. */
export const creditPurchases = pgTable(
  'credit_purchases',
  {
    id: text().primaryKey(),
    accountId: text('account_id').notNull(),
    userId: text('user_id').generatedAlwaysAs(sql`account_id`),
    packageId: text('package_id')
      .notNull()
      .references(() => creditPackages.id),
    provider: text().$type<ProviderName>().notNull(),
    status: text().$type<PurchaseStatus>().notNull(),
    credits: whole('credits').notNull(),
    amount: whole('amount').notNull(),
    currency: text().notNull(),
    /** The provider's price or product as it was then. */
    priceId: text('price_id'),
    successUrl: text('success_url'),
    /** The digest of the caller's idempotency key, while that is remembered. */
    requestKey: uuid('request_key'),
    checkoutState: text('checkout_state').$type<CheckoutState>().notNull(),
    checkoutId: text('checkout_id'),
    checkoutUrl: text('checkout_url'),
    paymentId: text('payment_id'),
    paidAmount: whole('paid_amount'),
    paidAt: instant('paid_at'),
    /** The account that the credits go to, once somebody has begun to grant them. */
    grantedTo: text('granted_to'),
    grantSeq: whole('grant_seq'),
    refundedAmount: whole('refunded_amount').notNull().default(0),
    /** With what disputes took. */
    reversedAmount: whole('reversed_amount').notNull().default(0),
    /** Claw-backs are numbered: each is done under a key of its own, before the next is begun. */
    clawBackStep: integer('claw_back_step').notNull().default(0),
    clawBackDoneStep: integer('claw_back_done_step').notNull().default(0),
    clawBackTarget: whole('claw_back_target').notNull().default(0),
    clawBackDoneTarget: whole('claw_back_done_target').notNull().default(0),
    /** Where credits are taken back, once the account they were granted to has become another. */
    collectedFrom: text('collected_from'),
    /** The refunded amount that others were told of. */
    announcedRefund: whole('announced_refund').notNull().default(0),
    freeze: text('freeze_state').$type<Freeze>(),
    /** Why the credits could not be moved as they should be. */
    problem: text(),
    attempts: smallint().notNull().default(0),
    /** When the job looks at it; null: nothing is left to do. */
    nextAttemptAt: instant('next_attempt_at'),
    version: whole('version').notNull().default(1),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    completedAt: instant('completed_at'),
    expiresAt: instant('expires_at'),
  },
  (t) => [
    uniqueIndex('credit_purchases_request').on(t.requestKey).where(sql`request_key is not null`),
    uniqueIndex('credit_purchases_checkout')
      .on(t.provider, t.checkoutId)
      .where(sql`checkout_id is not null`),
    uniqueIndex('credit_purchases_payment')
      .on(t.provider, t.paymentId)
      .where(sql`payment_id is not null`),
    index('credit_purchases_account').on(t.accountId, t.createdAt, t.id),
    index('credit_purchases_due').on(t.nextAttemptAt).where(sql`next_attempt_at is not null`),
    index('credit_purchases_freezing').on(t.grantedTo).where(sql`freeze_state is not null`),
    check('credit_purchases_provider_known', oneOf(t.provider, PROVIDERS)),
    check('credit_purchases_status_known', oneOf(t.status, STATUSES)),
    check('credit_purchases_checkout_state_known', oneOf(t.checkoutState, CHECKOUTS)),
    check('credit_purchases_freeze_known', oneOf(t.freeze, FREEZES)),
    check('credit_purchases_credits_positive', sql`${t.credits} > 0`),
    check(
      'credit_purchases_amounts_not_negative',
      sql`least(${t.amount}, ${t.paidAmount}, ${t.refundedAmount}, ${t.reversedAmount}) >= 0`,
    ),
    check(
      'credit_purchases_granted_when_paid',
      sql`${t.grantSeq} is null or (${t.checkoutState} = 'paid' and ${t.grantedTo} is not null)`,
    ),
    check(
      'credit_purchases_completed_when_granted',
      sql`${t.status} <> 'completed' or ${t.grantSeq} is not null`,
    ),
    check(
      'credit_purchases_clawed_back_within',
      sql`${t.clawBackTarget} between 0 and ${t.credits}`,
    ),
    check(
      'credit_purchases_claw_back_steps',
      sql`${t.clawBackStep} - ${t.clawBackDoneStep} between 0 and 1`,
    ),
  ],
)

/** Refunds and disputes of payments, ours or not yet known to be, each as it stood at `asOf`. */
export const paymentReversals = pgTable(
  'payment_reversals',
  {
    provider: text().$type<ProviderName>().notNull(),
    id: text().notNull(),
    paymentId: text('payment_id').notNull(),
    purchaseId: text('purchase_id'),
    type: text().$type<Reversal['type']>().notNull(),
    amount: whole('amount').notNull(),
    currency: text().notNull(),
    /** Of the payment, on the same basis as `amount`. */
    paidAmount: whole('paid_amount').notNull(),
    state: text().$type<Reversal['state']>().notNull(),
    asOf: instant('as_of').notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.provider, t.id] }),
    index('payment_reversals_payment').on(t.provider, t.paymentId),
    check('payment_reversals_type_known', sql`${t.type} in ('refund', 'dispute')`),
    check('payment_reversals_state_known', oneOf(t.state, REVERSAL_STATES)),
    check('payment_reversals_amounts_not_negative', sql`least(${t.amount}, ${t.paidAmount}) >= 0`),
  ],
)
