import { type SQL, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Transaction } from '../db/transaction.js'
import type { ProviderName } from '../payment-facts.js'
import type { Status, Subscription } from './standing.js'

type Row = {
  account_id: string
  plan_id: string
  next_plan_id: string | null
  next_plan_ms: number | null
  status: Status
  provider: ProviderName | null
  provider_subscription_id: string | null
  anchor_ms: number
  paid_until_ms: number | null
  ends_ms: number | null
  next_ms: number | null
  created_ms: number
  updated_ms: number
}

const COLUMNS = sql`
  account_id, plan_id, next_plan_id, to_ms(next_plan_at) as next_plan_ms, status, provider,
  provider_subscription_id, to_ms(anchor_at) as anchor_ms, to_ms(paid_until) as paid_until_ms,
  to_ms(ends_at) as ends_ms, to_ms(next_allocation_at) as next_ms, to_ms(created_at) as created_ms,
  to_ms(updated_at) as updated_ms`

const rowsOf = async (on: NodePgDatabase, query: SQL): Promise<Subscription[]> => {
  const { rows } = await on.execute<Row>(query)
  return rows.map(subscriptionOf)
}

/** One that begins now, of which nothing has been paid or given yet. */
export const freshSubscription = ({
  accountId,
  planId,
  link,
  nowMs,
}: Pick<Subscription, 'accountId' | 'planId' | 'link'> & {
  readonly nowMs: number
}): Subscription => ({
  accountId,
  planId,
  nextPlan: null,
  status: 'active',
  link,
  anchorMs: nowMs,
  paidUntilMs: null,
  endsAtMs: null,
  nextMs: null,
  createdAtMs: nowMs,
  updatedAtMs: nowMs,
})

/** The subscription of an account; null: it has none. */
export async function readSubscription(
  on: NodePgDatabase,
  accountId: string,
): Promise<Subscription | null> {
  const query = sql`select ${COLUMNS} from subscriptions where account_id = ${accountId}`
  return (await rowsOf(on, query))[0] ?? null
}

/**
 * The subscription of an account, locked until the transaction ends; the given one is made when
 * there is none.
 */
export async function lockOrMake(
  tx: Transaction,
  fresh: Subscription,
): Promise<{ subscription: Subscription; isNew: boolean }> {
  const { accountId, planId, status, anchorMs, link, createdAtMs } = fresh
  const made = await tx.execute(sql`
    insert into subscriptions (
      account_id, plan_id, status, provider, provider_subscription_id, anchor_at, created_at,
      updated_at)
    values (
      ${accountId}, ${planId}, ${status}, ${link?.provider ?? null},
      ${link?.subscriptionId ?? null}, from_ms(${anchorMs}), from_ms(${createdAtMs}),
      from_ms(${createdAtMs}))
    on conflict (account_id) do nothing`)
  const subscription = await lock(tx, accountId)
  if (subscription === null) throw new Error('a subscription is gone')
  return { subscription, isNew: made.rowCount === 1 }
}

/** The same where there is one. */
export async function lock(tx: Transaction, accountId: string): Promise<Subscription | null> {
  const query = sql`
    select ${COLUMNS} from subscriptions where account_id = ${accountId} for update`
  return (await rowsOf(tx, query))[0] ?? null
}

/** Those that are to be looked at by now, longest due first, locked; what others hold is theirs. */
export const lockDue = (tx: Transaction, nowMs: number, limit: number): Promise<Subscription[]> =>
  rowsOf(
    tx,
    sql`
      select ${COLUMNS}
        from subscriptions
       where next_allocation_at <= from_ms(${nowMs})
       order by next_allocation_at
       limit ${limit}
         for update skip locked`,
  )

/** The same by account, without a lock. */
export const listDue = (
  on: NodePgDatabase,
  { nowMs, after, limit }: { nowMs: number; after: string; limit: number },
): Promise<Subscription[]> =>
  rowsOf(
    on,
    sql`
      select ${COLUMNS}
        from subscriptions
       where next_allocation_at <= from_ms(${nowMs})
         and account_id > ${after}
       order by account_id
       limit ${limit}`,
  )

export async function countDue(on: NodePgDatabase, nowMs: number): Promise<number> {
  const { rows } = await on.execute<{ count: number }>(sql`
    select count(*) as count from subscriptions where next_allocation_at <= from_ms(${nowMs})`)
  return rows[0]?.count ?? 0
}

/** Writes locked subscriptions as they are now. */
export async function save(
  tx: Transaction,
  subscriptions: readonly Subscription[],
  nowMs: number,
): Promise<void> {
  if (subscriptions.length === 0) return
  await tx.execute(sql`
    update subscriptions s
       set plan_id = n.plan_id, next_plan_id = n.next_plan_id,
           next_plan_at = from_ms(n.next_plan_ms), status = n.status, provider = n.provider,
           provider_subscription_id = n.provider_subscription_id,
           anchor_at = from_ms(n.anchor_ms), paid_until = from_ms(n.paid_until_ms),
           ends_at = from_ms(n.ends_ms), next_allocation_at = from_ms(n.next_ms),
           updated_at = from_ms(${nowMs})
      from jsonb_to_recordset(${JSON.stringify(subscriptions.map(rowOf))}::jsonb) n (
             account_id text, plan_id text, next_plan_id text, next_plan_ms bigint, status text,
             provider text, provider_subscription_id text, anchor_ms bigint, paid_until_ms bigint,
             ends_ms bigint, next_ms bigint)
     where s.account_id = n.account_id`)
}

/** Ends subscriptions whose account is closed: nothing more comes of them. */
export async function endNow(
  on: NodePgDatabase,
  accountIds: readonly string[],
  nowMs: number,
): Promise<void> {
  if (accountIds.length === 0) return
  await on.execute(sql`
    update subscriptions
       set status = 'canceled', next_allocation_at = null, next_plan_id = null,
           next_plan_at = null, ends_at = least(ends_at, from_ms(${nowMs})),
           updated_at = from_ms(${nowMs})
     where account_id in (select jsonb_array_elements_text(${JSON.stringify(accountIds)}::jsonb))
       and (ends_at is null or ends_at > from_ms(${nowMs}) or next_allocation_at is not null)`)
}

const subscriptionOf = (row: Row): Subscription => ({
  accountId: row.account_id,
  planId: row.plan_id,
  nextPlan:
    row.next_plan_id === null || row.next_plan_ms === null
      ? null
      : { planId: row.next_plan_id, atMs: row.next_plan_ms },
  status: row.status,
  link:
    row.provider === null || row.provider_subscription_id === null
      ? null
      : { provider: row.provider, subscriptionId: row.provider_subscription_id },
  anchorMs: row.anchor_ms,
  paidUntilMs: row.paid_until_ms,
  endsAtMs: row.ends_ms,
  nextMs: row.next_ms,
  createdAtMs: row.created_ms,
  updatedAtMs: row.updated_ms,
})

const rowOf = (subscription: Subscription): Omit<Row, 'created_ms' | 'updated_ms'> => ({
  account_id: subscription.accountId,
  plan_id: subscription.planId,
  next_plan_id: subscription.nextPlan?.planId ?? null,
  next_plan_ms: subscription.nextPlan?.atMs ?? null,
  status: subscription.status,
  provider: subscription.link?.provider ?? null,
  provider_subscription_id: subscription.link?.subscriptionId ?? null,
  anchor_ms: subscription.anchorMs,
  paid_until_ms: subscription.paidUntilMs,
  ends_ms: subscription.endsAtMs,
  next_ms: subscription.nextMs,
})
