import type { BaseLogger } from 'pino'
import type { PaymentFact } from '../../payment-facts.js'
import {
  checkoutFactOf,
  isRecurring,
  paymentFactOf,
  purchaseIdOf,
  type ReversalHint,
  reversalFactOf,
} from './creem-facts.js'
import { amountOf, type Fields, fieldsOf, idOf, instantOf, wordOf } from './creem-fields.js'
import type { CreemReader } from './creem-reader.js'
import {
  ownerOf,
  type SubscriptionOwner,
  subscriptionFactOf,
  subscriptionPaidFactOf,
} from './creem-subscriptions.js'
import type { ProviderEvent } from './provider.js'

export type CreemEventDeps = {
  readonly reader: CreemReader
  /** The database's time, in ms since the epoch. */
  readonly now: () => number
  readonly log: Pick<BaseLogger, 'warn'>
}

type About = { readonly createdAtMs: number }
type Handler = (deps: CreemEventDeps, object: Fields, about: About) => Promise<Facts>
type Facts = readonly PaymentFact[]

const NOBODY: SubscriptionOwner = { accountId: null, priceIds: [] }

/** What an event of Creem tells; of a type that is not known here, nothing. */
export const factsOfCreemEvent = async (
  deps: CreemEventDeps,
  { type, createdAtMs, payload }: ProviderEvent,
): Promise<Facts> => {
  const handle = HANDLERS.get(type)
  return handle ? handle(deps, fieldsOf(payload.object), { createdAtMs }) : []
}

/** What a checkout tells: its payment, or the subscription that it began. */
export const factsOfCheckout: Handler = async (deps, checkout, about) => {
  if (!isRecurring(checkout)) {
    const fact = checkoutFactOf(checkout, await paymentOf(deps.reader, checkout))
    return fact === null ? [] : [fact]
  }
  const { accountId, priceIds } = ownerOf(checkout)
  const nested = fieldsOf(checkout.subscription)
  const id = idOf(checkout.subscription)
  if (id === null) return []
  return factsOfSubscription(deps, { ...nested, id }, { ...about, owner: { accountId, priceIds } })
}

/**
 * Refunds and disputes refer to the transaction. An order does not always name its own: then it is
 * asked for, and stays unknown where Creem can not tell yet.
 */
const paymentOf = async (reader: CreemReader, checkout: Fields) => {
  const order = fieldsOf(checkout.order)
  const amount = amountOf(order.amount_paid)
  const named = idOf(order.transaction)
  const orderId = idOf(checkout.order)
  if (named !== null || orderId === null || order.status !== 'paid') return { id: named, amount }
  const found = await reader.transactionOfOrder(orderId)
  return { id: idOf(found), amount: amount ?? amountOf(found?.amount_paid) }
}

const factsOfSubscription = async (
  deps: CreemEventDeps,
  subscription: Fields,
  { createdAtMs, owner = NOBODY }: About & { readonly owner?: SubscriptionOwner },
): Promise<Facts> => {
  const id = idOf(subscription.id)
  if (id === null) return []
  const asOfMs = deps.now()
  const current = await deps.reader.subscription(id)
  const known = mergedOwner(ownerOf(subscription), owner)
  // what was sent is as old as its event
  const fact =
    current === null
      ? subscriptionFactOf(subscription, known, Math.min(createdAtMs, asOfMs))
      : subscriptionFactOf(current, known, asOfMs)
  return fact === null ? [] : [fact]
}

const mergedOwner = (first: SubscriptionOwner, second: SubscriptionOwner): SubscriptionOwner => ({
  accountId: first.accountId ?? second.accountId,
  priceIds: first.priceIds.length > 0 ? first.priceIds : second.priceIds,
})

/** The period is the one that was paid, so it is the event's and not the one of today. */
const factsOfPayment: Handler = async (deps, subscription, about) => {
  const state = await factsOfSubscription(deps, subscription, about)
  const paymentId = wordOf(subscription.last_transaction_id)
  const periodStartMs = instantOf(subscription.current_period_start_date)
  const periodEndMs = instantOf(subscription.current_period_end_date)
  if (paymentId === null || periodStartMs === null || periodEndMs === null) return state
  const amountPaid = await amountPaidFor(deps.reader, subscription, paymentId)
  const paidAtMs = instantOf(subscription.last_transaction_date)
  const period = { paymentId, amountPaid, periodStartMs, periodEndMs, paidAtMs }
  const fact = subscriptionPaidFactOf(subscription, NOBODY, period)
  return fact === null ? state : [...state, fact]
}

const amountPaidFor = async (
  reader: CreemReader,
  subscription: Fields,
  paymentId: string,
): Promise<number> => {
  const last = fieldsOf(subscription.last_transaction)
  const price = amountOf(fieldsOf(subscription.product).price)
  const told = (idOf(last) === paymentId ? amountOf(last.amount_paid) : null) ?? price
  return told ?? amountOf((await reader.transaction(paymentId))?.amount_paid) ?? 0
}

const factsOfReversal = (hintOf: (object: Fields) => ReversalHint | null): Handler =>
  async function factsOfReversal(deps, object, { createdAtMs }) {
    const id = idOf(object.transaction)
    if (id === null) return []
    const asOfMs = deps.now()
    const current = await deps.reader.transaction(id)
    const transaction = current ?? fieldsOf(object.transaction)
    // what a plan's payment gave is the plan's, and not bought
    const subscription = transaction.subscription ?? object.subscription
    if (idOf(subscription) !== null) {
      warnOfPlan(deps, idOf(subscription), id)
      return []
    }
    const purchaseId = await purchaseOf(deps.reader, object.checkout)
    const fact = reversalFactOf(transaction, {
      purchaseId,
      hint: hintOf(object),
      asOfMs: current === null ? Math.min(createdAtMs, asOfMs) : asOfMs,
    })
    if (fact === null || purchaseId === null) return fact === null ? [] : [fact]
    // what goes back was paid, also where nobody has told us so yet
    return [fact, paymentFactOf(fact, { purchaseId, checkoutId: idOf(object.checkout) })]
  }

const warnOfPlan = ({ log }: CreemEventDeps, subscriptionId: string | null, paymentId: string) =>
  log.warn(
    { subscriptionId, paymentId },
    'a payment of a subscription is refunded or disputed; what it paid for goes on',
  )

/** The checkout within a dispute has no metadata, and may be an id alone. */
const purchaseOf = async (reader: CreemReader, relation: unknown): Promise<string | null> => {
  const id = idOf(relation)
  const told = fieldsOf(relation)
  if (id === null || 'metadata' in told || 'request_id' in told) return purchaseIdOf(told)
  const checkout = await reader.checkout(id)
  return checkout === null ? null : purchaseIdOf(checkout)
}

const refundHint = (refund: Fields): ReversalHint | null => {
  const amount = amountOf(refund.refund_amount)
  return amount === null ? null : { type: 'refund', amount, state: refund.status }
}

const disputeHint = (dispute: Fields): ReversalHint | null => {
  const paid = fieldsOf(dispute.transaction)
  const amount = amountOf(dispute.amount) ?? amountOf(paid.amount_paid) ?? amountOf(paid.amount)
  return amount === null ? null : { type: 'dispute', amount }
}

const HANDLERS: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ['checkout.completed', factsOfCheckout],
  ['subscription.paid', factsOfPayment],
  ['refund.created', factsOfReversal(refundHint)],
  ['dispute.created', factsOfReversal(disputeHint)],
  ...(
    [
      ...['active', 'trialing', 'canceled', 'scheduled_cancel', 'past_due', 'expired'],
      ...['unpaid', 'update', 'paused'],
    ] as const
  ).map((name): [string, Handler] => [`subscription.${name}`, factsOfSubscription]),
])
