import { AppError } from '../errors.js'
import { type KnownReversal, standingOf } from './state.js'
import type { Purchase } from './store.js'

/** What is left of a purchase's payment to be refunded, in minor units. */
export function leftOf(purchase: Purchase, known: readonly KnownReversal[]): number {
  const { paidAmount, reversedAmount } = standingOf(purchase, known)
  return paidAmount - reversedAmount
}

/**
 * The amount to refund; null asks for all that is left. Throws `refund_exceeds_charge`, and
 * `purchase_state` when nothing is left.
 */
export function refundable(amount: number | null, left: number): number {
  if (left === 0) {
    throw new AppError('purchase_state', 'Nothing is left of the payment to refund', { left })
  }
  if (amount === null || amount <= left) return amount ?? left
  const message = `Of the payment ${left} is left to refund, ${amount} was asked for`
  throw new AppError('refund_exceeds_charge', message, { amount, left })
}
