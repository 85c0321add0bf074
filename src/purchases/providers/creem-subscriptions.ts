import type { SubscriptionFact, SubscriptionPaidFact } from '../../payment-facts.js'
import { type Fields, fieldsOf, idOf, instantOf, listOf, wordOf } from './creem-fields.js'

const provider = 'creem'

/** A first period begins within so long of its subscription. */
const FIRST_PERIOD_MS = 24 * 3_600_000

/** Who a subscription is for and what it buys, where its own fields do not tell. */
export type SubscriptionOwner = {
  readonly accountId: string | null
  readonly priceIds: readonly string[]
}

export const ownerOf = (subscription: Fields): SubscriptionOwner => {
  const items = listOf(subscription.items).flatMap((item) => [item.product_id, item.price_id])
  const ids = [idOf(subscription.product), ...items.map(wordOf)]
  return {
    accountId: wordOf(fieldsOf(subscription.metadata).accountId),
    priceIds: [...new Set(ids.flatMap((id) => id ?? []))],
  }
}

/** null: it is no subscription. */
export const subscriptionFactOf = (
  subscription: Fields,
  owner: SubscriptionOwner,
  asOfMs: number,
): SubscriptionFact | null => {
  const subscriptionId = idOf(subscription.id)
  if (subscriptionId === null) return null
  const { accountId, priceIds } = ownerOf(subscription)
  const periodEndMs = instantOf(subscription.current_period_end_date)
  return {
    kind: 'subscription',
    provider,
    subscriptionId,
    accountId: accountId ?? owner.accountId,
    priceIds: priceIds.length > 0 ? priceIds : owner.priceIds,
    status: statusOf(subscription.status, periodEndMs !== null && periodEndMs < asOfMs),
    willEnd: subscription.status === 'scheduled_cancel' || subscription.status === 'canceled',
    periodStartMs: instantOf(subscription.current_period_start_date),
    periodEndMs,
    asOfMs,
  }
}

const statusOf = (status: unknown, isPastItsEnd: boolean): SubscriptionFact['status'] => {
  switch (status) {
    case 'trialing':
    case 'past_due':
    case 'unpaid':
    case 'paused':
    case 'canceled':
      return status
    case 'expired':
      // not the end: Creem goes on trying to collect
      return 'past_due'
    case 'active':
    case 'scheduled_cancel':
    case undefined:
      // an expired one may still read active; within a checkout it may be an id alone
      return isPastItsEnd ? 'past_due' : 'active'
    default:
      return 'unpaid'
  }
}

export type PaidPeriod = {
  readonly paymentId: string
  readonly amountPaid: number
  readonly periodStartMs: number
  readonly periodEndMs: number
  /** When its transaction was made. */
  readonly paidAtMs: number | null
}

export const subscriptionPaidFactOf = (
  subscription: Fields,
  owner: SubscriptionOwner,
  period: PaidPeriod,
): SubscriptionPaidFact | null => {
  const subscriptionId = idOf(subscription.id)
  if (subscriptionId === null) return null
  const { accountId, priceIds } = ownerOf(subscription)
  const beganMs = instantOf(subscription.created_at)
  const isFirst = beganMs !== null && period.periodStartMs - beganMs < FIRST_PERIOD_MS
  return {
    kind: 'subscription_paid',
    provider,
    subscriptionId,
    accountId: accountId ?? owner.accountId,
    priceIds: priceIds.length > 0 ? priceIds : owner.priceIds,
    reason: isFirst ? 'create' : 'cycle',
    ...period,
  }
}
