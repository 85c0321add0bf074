import { AppError } from '../../errors.js'
import { digestOf } from '../../ledger/ids.js'
import type { CheckoutFact, ReversalFact } from '../../payment-facts.js'
import { leftOf, refundable } from '../refundable.js'
import type { ReversalStore } from '../reversals.js'
import type { Purchase, PurchaseStore } from '../store.js'
import type { PaymentProvider, PaymentToRefund } from './provider.js'

export type ManualDeps = {
  readonly store: Pick<PurchaseStore, 'get'>
  readonly reversals: Pick<ReversalStore, 'book'>
  /** Ms since the epoch. */
  readonly now: () => number
}

/**
 * Payments that somebody takes elsewhere, an invoice or a till: an authorised call confirms them,
 * and refunds are ours to book. It sends no events and there is nobody to ask.
 */
export function createManual({ store, reversals, now }: ManualDeps): PaymentProvider {
  async function refund({ purchaseId, paymentId, amount, key }: PaymentToRefund) {
    const purchase = await store.get(purchaseId)
    if (purchase === null) throw new Error(`the purchase ${purchaseId} is gone`)
    const { currency } = purchase
    const paidAmount = purchase.paidAmount ?? purchase.amount
    const payment = { provider: 'manual', purchaseId, paymentId, paidAmount } as const
    const id = `refund_${digestOf('refund', purchaseId, key)}`
    const reversal = await reversals.book(payment, { id, currency }, (known) =>
      refundable(amount, leftOf(purchase, known)),
    )
    const fact: ReversalFact = {
      ...{ ...payment, kind: 'reversal', currency },
      reversals: [reversal],
      asOfMs: now(),
    }
    return [fact]
  }

  return {
    name: 'manual',
    create: async () => ({ checkoutId: null, checkoutUrl: null, expiresAtMs: null }),
    refund,
    verifyAndParse() {
      throw new AppError('not_found', 'There are no events of manual payments')
    },
    factsOf: async () => [],
    fetch: async () => [],
    async *list() {},
  }
}

/** What an authorised call says of a manual purchase: that it was paid, as it was agreed. */
export const confirmationOf = (purchase: Purchase, paymentId: string | null): CheckoutFact => ({
  kind: 'checkout',
  provider: 'manual',
  purchaseId: purchase.id,
  checkoutId: null,
  paymentId: paymentId ?? purchase.paymentId ?? `manual_${purchase.id}`,
  state: 'paid',
  subtotal: purchase.amount,
  amount: purchase.amount,
  currency: purchase.currency,
  priceId: null,
  quantity: 1,
})
