import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  check,
  index,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import type {
  AccountStatus,
  GrantSource,
  HoldStatus,
  JsonObject,
  TransactionType,
} from './model.js'

const credits = (name: string) => bigint(name, { mode: 'number' })
const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 })

/** One row an account, narrow and without an index on a mutable column: updates stay HOT. */
export const accounts = pgTable(
  'accounts',
  {
    id: text().primaryKey(),
    version: credits('version').notNull(),
    seq: credits('seq').notNull(),
    balance: credits('balance').notNull(),
    held: credits('held').notNull(),
    debt: credits('debt').notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    tierExpiresAt: instant('tier_expires_at'),
    status: text().$type<AccountStatus>().notNull(),
    tier: text(),
    hasArchive: boolean('has_archive').notNull().default(false),
  },
  (t) => [
    check('accounts_balance_not_negative', sql`${t.balance} >= 0`),
    check('accounts_held_within_balance', sql`${t.held} between 0 and ${t.balance}`),
    check('accounts_debt_not_negative', sql`${t.debt} >= 0`),
    check('accounts_amounts_exact', sql`greatest(${t.balance}, ${t.debt}) <= 9007199254740991`),
    check('accounts_debt_or_available', sql`${t.debt} = 0 or ${t.balance} = ${t.held}`),
    check('accounts_status_known', sql`${t.status} in ('active', 'frozen', 'closed')`),
  ],
)

/** Credit lots; the id is the seq of the row that made it. */
export const grants = pgTable(
  'grants',
  {
    accountId: text('account_id').notNull(),
    grantSeq: credits('grant_seq').notNull(),
    amount: credits('amount').notNull(),
    remaining: credits('remaining').notNull(),
    held: credits('held').notNull(),
    expiresAt: instant('expires_at'),
    createdAt: instant('created_at').notNull(),
    priority: smallint().notNull(),
    isRevoked: boolean('is_revoked').notNull(),
    /** `remaining > 0` as a column: a partial index on `remaining` itself would end HOT updates. */
    live: boolean().notNull(),
    source: text().$type<GrantSource>().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.grantSeq] }),
    index('grants_live').on(t.accountId).where(sql`live`),
    index('grants_due').on(t.expiresAt, t.accountId).where(sql`live and expires_at is not null`),
    check('grants_amount_positive', sql`${t.amount} > 0`),
    check('grants_remaining_in_range', sql`${t.remaining} between 0 and ${t.amount}`),
    check('grants_held_within_remaining', sql`${t.held} between 0 and ${t.remaining}`),
    check('grants_live_is_remaining', sql`${t.live} = (${t.remaining} > 0)`),
    check('grants_source_known', sql`${t.source} in ('monthly', 'bonus', 'purchased')`),
  ],
)

const ledgerColumns = () => ({
  seq: credits('seq').notNull(),
  amount: credits('amount').notNull(),
  balanceAfter: credits('balance_after').notNull(),
  heldAfter: credits('held_after').notNull(),
  debtAfter: credits('debt_after').notNull(),
  createdAt: instant('created_at').notNull(),
  key: uuid(),
  digest: uuid(),
  accountId: text('account_id').notNull(),
  type: text().$type<TransactionType>().notNull(),
  action: text(),
  actor: text().notNull(),
  requestId: text('request_id'),
  parts: jsonb().$type<[number, number, GrantSource][]>(),
  detail: jsonb(),
  metadata: jsonb(),
})

/** The ledger: append-only. `parts` is [[grant seq, signed amount, source], …]. */
export const transactions = pgTable('transactions', ledgerColumns(), (t) => [
  primaryKey({ columns: [t.accountId, t.seq] }),
  uniqueIndex('transactions_key').on(t.accountId, t.key).where(sql`key is not null`),
  check('transactions_seq_positive', sql`${t.seq} > 0`),
  check('transactions_balance_not_negative', sql`${t.balanceAfter} >= 0`),
  check('transactions_held_within_balance', sql`${t.heldAfter} between 0 and ${t.balanceAfter}`),
  check('transactions_debt_not_negative', sql`${t.debtAfter} >= 0`),
  // for the audit log over all accounts: block ranges, which cost a charge next to nothing
  index('transactions_time').using('brin', t.createdAt).with({ autosummarize: true }),
])

/** Rows that were moved out of `transactions`, unchanged; their keys stay taken for ever. */
export const transactionsArchive = pgTable('transactions_archive', ledgerColumns(), (t) => [
  primaryKey({ columns: [t.accountId, t.seq] }),
  uniqueIndex('transactions_archive_key').on(t.accountId, t.key).where(sql`key is not null`),
  index('transactions_archive_time').using('brin', t.createdAt).with({ autosummarize: true }),
])

export const holds = pgTable(
  'holds',
  {
    accountId: text('account_id').notNull(),
    holdSeq: credits('hold_seq').notNull(),
    amount: credits('amount').notNull(),
    captured: credits('captured').notNull(),
    settledSeq: credits('settled_seq'),
    expiresAt: instant('expires_at').notNull(),
    createdAt: instant('created_at').notNull(),
    status: text().$type<HoldStatus>().notNull(),
    action: text(),
    parts: jsonb().$type<[number, number, GrantSource][]>().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.holdSeq] }),
    index('holds_active').on(t.accountId).where(sql`status = 'active'`),
    index('holds_due').on(t.expiresAt, t.accountId).where(sql`status = 'active'`),
    check('holds_amount_not_negative', sql`${t.amount} >= 0 and ${t.captured} >= 0`),
    check('holds_status_known', sql`${t.status} in ('active', 'captured', 'released', 'expired')`),
    check('holds_settled_once', sql`(${t.status} = 'active') = (${t.settledSeq} is null)`),
  ],
)

/** Refunds of charges, and claw-backs of grants: `charge_seq` is then the grant's seq. */
export const refunds = pgTable(
  'refunds',
  {
    accountId: text('account_id').notNull(),
    chargeSeq: credits('charge_seq').notNull(),
    refundSeq: credits('refund_seq').notNull(),
    amount: credits('amount').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.chargeSeq, t.refundSeq] }),
    // negative: what was clawed back and is reinstated
    check('refunds_amount_not_zero', sql`${t.amount} <> 0`),
  ],
)

/** What must still happen in another account; the row goes when it is done. */
export const pendingWork = pgTable(
  'pending_work',
  {
    accountId: text('account_id').notNull(),
    id: text().notNull(),
    kind: text().notNull(),
    payload: jsonb().notNull(),
    createdAt: instant('created_at').notNull(),
    nextAttemptAt: instant('next_attempt_at').notNull(),
    attempts: smallint().notNull().default(0),
    lastError: text('last_error'),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.id] }),
    index('pending_work_due').on(t.nextAttemptAt),
  ],
)

/**
 * The outbox: what others are to be told of, written with what it tells of. It gets its position
 * in the feed, over all accounts and within its own, once it is committed; later it is pruned.
 */
export const events = pgTable(
  'events',
  {
    accountId: text('account_id').notNull(),
    id: text().notNull(),
    type: text().notNull(),
    data: jsonb().$type<JsonObject>().notNull(),
    createdAt: instant('created_at').notNull(),
    position: credits('position'),
    accountSeq: credits('account_seq'),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.id] }),
    uniqueIndex('events_position').on(t.position).where(sql`position is not null`),
    index('events_account').on(t.accountId, t.position).where(sql`position is not null`),
    index('events_waiting').on(t.createdAt, t.accountId).where(sql`position is null`),
  ],
)

/** One row: a restore changes the epoch, the maintenance gate clears `writable`. */
export const control = pgTable(
  'control',
  {
    id: smallint().primaryKey(),
    epoch: uuid().notNull(),
    writable: boolean().notNull().default(true),
    reason: text(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [check('control_one_row', sql`${t.id} = 1`)],
)
