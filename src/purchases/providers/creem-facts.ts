import type { CheckoutFact, Reversal, ReversalFact } from '../../payment-facts.js'
import { amountOf, currencyOf, type Fields, fieldsOf, idOf, wordOf } from './creem-fields.js'

/*
 * Creem's objects in words of our own. All of it is read from the state of an object and not from
 * the kind of event that brought it, so that events may come twice, late and in any order.
 */

const provider = 'creem'

/** How an id of ours looks. */
const PURCHASE_ID = /^pur_[0-9a-f]{32}$/

/** Whose checkout it is, as we gave it to Creem. */
export const purchaseIdOf = (checkout: Fields): string | null => {
  const { metadata, request_id: requestId } = checkout
  if (typeof metadata === 'object' && metadata !== null) {
    return wordOf(fieldsOf(metadata).purchaseId)
  }
  // without metadata it may still be ours; a merchant's own request ids are not told from ours
  return typeof requestId === 'string' && PURCHASE_ID.test(requestId) ? requestId : null
}

/** A checkout of a subscription: its payments are told by the subscription. */
export const isRecurring = (checkout: Fields): boolean => {
  const type = wordOf(fieldsOf(checkout.order).type)
  const billing = wordOf(fieldsOf(checkout.product).billing_type)
  if (type !== null || billing !== null) return type === 'recurring' || billing === 'recurring'
  return idOf(checkout.subscription) !== null
}

/** null: nothing has happened to it yet. */
export const checkoutFactOf = (
  checkout: Fields,
  payment: { readonly id: string | null; readonly amount: number | null },
): CheckoutFact | null => {
  const state = stateOfCheckout(checkout)
  if (state === null) return null
  const order = fieldsOf(checkout.order)
  const product = fieldsOf(checkout.product)
  const quantity = amountOf(checkout.units) ?? 1
  const price = amountOf(product.price)
  return {
    kind: 'checkout',
    provider,
    purchaseId: purchaseIdOf(checkout),
    checkoutId: idOf(checkout.id),
    paymentId: state === 'paid' ? payment.id : null,
    state,
    // an order's own sums leave the tax out or not, as the product's tax mode has it
    subtotal: price === null ? null : price * quantity,
    amount: state === 'paid' ? payment.amount : null,
    currency: currencyOf(order.currency),
    priceId: idOf(checkout.product) ?? idOf(order.product),
    quantity,
  }
}

/** That the payment was made which something was taken back of. */
export const paymentFactOf = (
  { paymentId, paidAmount, currency }: ReversalFact,
  checkout: { readonly purchaseId: string; readonly checkoutId: string | null },
): CheckoutFact => ({
  kind: 'checkout',
  provider,
  ...checkout,
  paymentId,
  state: 'paid',
  subtotal: null,
  amount: paidAmount,
  currency,
  priceId: null,
  quantity: 1,
})

const stateOfCheckout = (checkout: Fields): CheckoutFact['state'] | null => {
  const { status } = checkout
  if (fieldsOf(checkout.order).status === 'paid') return 'paid'
  if (status === 'expired') return 'expired'
  return status === 'completed' || status === 'processing' ? 'processing' : null
}

/** What an event tells of a payment beside the payment itself. */
export type ReversalHint =
  | { readonly type: 'refund'; readonly amount: number; readonly state: unknown }
  | { readonly type: 'dispute'; readonly amount: number }

export type ReversalAbout = {
  readonly purchaseId: string | null
  readonly hint: ReversalHint | null
  /** When the transaction was read. */
  readonly asOfMs: number
}

/**
 * What was taken back of a payment in all: Creem keeps the sum of it on the transaction, refunds
 * and disputes together, tax included. So there is one reversal of each type for a transaction, and
 * each reading of it replaces the one before. null: nothing.
 */
export const reversalFactOf = (transaction: Fields, about: ReversalAbout): ReversalFact | null => {
  const paymentId = idOf(transaction.id)
  const paidAmount = amountOf(transaction.amount_paid) ?? amountOf(transaction.amount)
  const currency = currencyOf(transaction.currency)
  if (paymentId === null || paidAmount === null || currency === null) return null
  const { purchaseId, hint, asOfMs } = about
  const reversals = isChargedBack(transaction, hint)
    ? disputeOf(transaction, paymentId, paidAmount, hint)
    : refundOf(transaction, paymentId, hint)
  if (reversals.length === 0) return null
  const payment = { purchaseId, paymentId, paidAmount, currency }
  return { kind: 'reversal', provider, ...payment, reversals, asOfMs }
}

/** The enumeration says chargedBack, the sample chargeback. */
export const isChargedBack = ({ status }: Fields, hint: ReversalHint | null = null): boolean =>
  hint?.type === 'dispute' || status === 'chargeback' || status === 'chargedBack'

const refundIdOf = (paymentId: string) => `${paymentId}:refunds`

const refundOf = (
  transaction: Fields,
  paymentId: string,
  hint: ReversalHint | null,
): readonly Reversal[] => {
  const refund = { id: refundIdOf(paymentId), type: 'refund' } as const
  const told = hint?.type === 'refund' ? hint : null
  const sum = amountOf(transaction.refunded_amount) ?? 0
  // the sum is Creem's own; one refund is the least it can be while the sum has not come yet
  const succeeded = told?.state === 'succeeded' ? Math.max(sum, told.amount) : sum
  if (succeeded > 0) return [{ ...refund, amount: succeeded, state: 'succeeded' }]
  if (told === null) return []
  const hasFailed = told.state === 'failed' || told.state === 'canceled'
  return [{ ...refund, amount: told.amount, state: hasFailed ? 'failed' : 'pending' }]
}

const disputeOf = (
  transaction: Fields,
  paymentId: string,
  paidAmount: number,
  hint: ReversalHint | null,
): readonly Reversal[] => {
  const sum = amountOf(transaction.refunded_amount) ?? 0
  const disputed = hint?.type === 'dispute' ? hint.amount : sum > 0 ? sum : paidAmount
  const refunded = Math.max(0, sum - disputed)
  return [
    { id: `${paymentId}:disputes`, type: 'dispute', amount: disputed, state: 'withdrawn' },
    {
      id: refundIdOf(paymentId),
      type: 'refund',
      amount: refunded,
      // what was told as a refund before, and is part of the dispute now, must not count twice
      state: refunded > 0 ? 'succeeded' : 'failed',
    },
  ]
}
