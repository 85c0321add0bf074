import { sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Transaction } from '../db/transaction.js'
import type { ProviderName, SubscriptionPaidFact } from '../payment-facts.js'
import { withChanges } from './paid-changes.js'
import type { Payment, Reading, Status } from './standing.js'

/** A provider's name of a subscription. */
export type Link = { readonly provider: ProviderName; readonly subscriptionId: string }

/** Of 400 payments even weekly ones reach back seven years: far beyond the last new beginning. */
const MAX_PAYMENTS = 400
/** An account has had a few. */
const MAX_LINKS = 100

export type Billed = Reading & { readonly accountId: string }
/** A reading to be taken in; since when the plan has been so follows from those before it. */
export type NewReading = Omit<Billed, 'planSinceMs'>

type Row = {
  provider: ProviderName
  subscription_id: string
  account_id: string
  plan_id: string
  status: Status | null
  will_end: boolean
  as_of_ms: number | null
  plan_since_ms: number | null
}

const COLUMNS = sql`
  provider, subscription_id, account_id, plan_id, status, will_end, to_ms(as_of) as as_of_ms,
  to_ms(plan_since) as plan_since_ms`

/** What is known of a provider's subscription; null: it was never heard of. */
export async function readBilled(
  on: NodePgDatabase,
  { provider, subscriptionId }: Link,
): Promise<Billed | null> {
  const { rows } = await on.execute<Row>(sql`
    select ${COLUMNS}
      from provider_subscriptions
     where provider = ${provider} and subscription_id = ${subscriptionId}`)
  return rows[0] ? billedOf(rows[0]) : null
}

/** Locks what is known of a subscription until the transaction ends: before its account's own. */
export async function lockBilled(
  tx: Transaction,
  { provider, subscriptionId }: Link,
): Promise<void> {
  await tx.execute(sql`
    select 1
      from provider_subscriptions
     where provider = ${provider} and subscription_id = ${subscriptionId}
       for update`)
}

/**
 * Takes a reading in unless a later one is known, and whose it is in any case. Locks the
 * subscription until the transaction ends. Whether anything of it was new.
 */
export async function putReading(
  tx: Transaction,
  { provider, subscriptionId }: Link,
  { accountId, planId, status, willEnd, asOfMs }: NewReading,
  nowMs: number,
): Promise<boolean> {
  const { rowCount } = await tx.execute(sql`
    insert into provider_subscriptions as p (
      provider, subscription_id, account_id, plan_id, status, will_end, as_of, plan_since,
      created_at, updated_at)
    values (
      ${provider}, ${subscriptionId}, ${accountId}, ${planId}, ${status}, ${willEnd},
      from_ms(${asOfMs}::bigint), from_ms(${asOfMs}::bigint), from_ms(${nowMs}),
      from_ms(${nowMs}))
    on conflict (provider, subscription_id) do update
       set account_id = excluded.account_id, plan_id = excluded.plan_id,
           status = excluded.status, will_end = excluded.will_end, as_of = excluded.as_of,
           plan_since = case when p.plan_id = excluded.plan_id and p.as_of is not null
                             then p.plan_since else excluded.as_of end,
           updated_at = excluded.updated_at
     where excluded.as_of is not null and (p.as_of is null or p.as_of < excluded.as_of)`)
  if (rowCount === 1) return true
  await tx.execute(sql`
    update provider_subscriptions
       set account_id = ${accountId}
     where provider = ${provider} and subscription_id = ${subscriptionId}`)
  return false
}

/** Takes a payment in; whether it was new. */
export async function putPayment(
  tx: Transaction,
  { provider, subscriptionId }: Link,
  payment: Payment,
  nowMs: number,
): Promise<boolean> {
  const { paymentId, planId, reason, amountPaid, periodStartMs, periodEndMs, paidAtMs } = payment
  const { rowCount } = await tx.execute(sql`
    insert into subscription_payments (
      provider, payment_id, subscription_id, plan_id, reason, amount_paid, period_start,
      period_end, paid_at, created_at)
    values (
      ${provider}, ${paymentId}, ${subscriptionId}, ${planId}, ${reason}, ${amountPaid},
      from_ms(${periodStartMs}), from_ms(${periodEndMs}), from_ms(${paidAtMs}::bigint),
      from_ms(${nowMs}))
    on conflict (provider, payment_id) do nothing`)
  return rowCount === 1
}

type PaymentRow = {
  provider: string
  subscription_id: string
  payment_id: string
  plan_id: string
  reason: SubscriptionPaidFact['reason']
  amount_paid: number
  start_ms: number
  end_ms: number
  paid_at_ms: number | null
}

export const keyOf = (link: Link): string => `${link.provider}:${link.subscriptionId}`

/** Readings and payments of subscriptions, by `keyOf`; payments by when they begin to count. */
export async function knownOf(
  on: NodePgDatabase,
  links: readonly Link[],
): Promise<ReadonlyMap<string, { reading: Reading; payments: Payment[] }>> {
  const known = new Map<string, { reading: Reading; payments: Payment[] }>()
  if (links.length === 0) return known
  const asked = sql`
    jsonb_to_recordset(${JSON.stringify(links)}::jsonb) k (provider text, "subscriptionId" text)`
  const { rows } = await on.execute<Row>(sql`
    select p.provider, p.subscription_id, p.account_id, p.plan_id, p.status, p.will_end,
           to_ms(p.as_of) as as_of_ms, to_ms(p.plan_since) as plan_since_ms
      from ${asked}
      join provider_subscriptions p
        on p.provider = k.provider and p.subscription_id = k."subscriptionId"`)
  for (const row of rows) {
    const link = { provider: row.provider, subscriptionId: row.subscription_id }
    known.set(keyOf(link), { reading: billedOf(row), payments: [] })
  }
  const { rows: paid } = await on.execute<PaymentRow>(sql`
    select p.provider, p.subscription_id, p.payment_id, p.plan_id, p.reason, p.amount_paid,
           to_ms(p.period_start) as start_ms, to_ms(p.period_end) as end_ms,
           to_ms(p.paid_at) as paid_at_ms
      from ${asked}
     cross join lateral (
       select provider, subscription_id, payment_id, plan_id, reason, amount_paid, period_start,
              period_end, paid_at
         from subscription_payments
        where provider = k.provider and subscription_id = k."subscriptionId"
        order by period_start desc, payment_id desc
        limit ${MAX_PAYMENTS}) p
     order by p.period_start, p.payment_id`)
  for (const row of paid) {
    known.get(`${row.provider}:${row.subscription_id}`)?.payments.push(paymentOf(row))
  }
  for (const of of known.values()) of.payments = withChanges(of.payments)
  return known
}

/** The provider's subscriptions of an account. */
export async function linksOf(on: NodePgDatabase, accountId: string): Promise<Link[]> {
  const { rows } = await on.execute<Row>(sql`
    select ${COLUMNS}
      from provider_subscriptions
     where account_id = ${accountId}
     order by created_at desc
     limit ${MAX_LINKS}`)
  return rows.map((row) => ({ provider: row.provider, subscriptionId: row.subscription_id }))
}

/** Gives the subscriptions of one account to another, which the first one's owner has become. */
export async function moveLinks(on: NodePgDatabase, from: string, to: string): Promise<void> {
  await on.execute(sql`
    update provider_subscriptions set account_id = ${to} where account_id = ${from}`)
}

const billedOf = (row: Row): Billed => ({
  accountId: row.account_id,
  planId: row.plan_id,
  status: row.status,
  willEnd: row.will_end,
  asOfMs: row.as_of_ms,
  planSinceMs: row.plan_since_ms,
})

const paymentOf = (row: PaymentRow): Payment => ({
  paymentId: row.payment_id,
  planId: row.plan_id,
  reason: row.reason,
  amountPaid: row.amount_paid,
  periodStartMs: row.start_ms,
  periodEndMs: row.end_ms,
  paidAtMs: row.paid_at_ms,
})
