import type Stripe from 'stripe'
import { AppError } from '../../errors.js'
import type { Reversal, ReversalFact } from '../../payment-facts.js'
import { type AskStripe, idOf } from './stripe-client.js'
import { subscriptionOf } from './stripe-subscriptions.js'

/** Of one payment; nobody gives money back in more parts. */
const MAX_REVERSALS = 1_000
const PAGE = 100

/** What names the payment: a refund, a dispute, or the charge itself. */
export type Reversing = {
  readonly payment_intent?: string | { readonly id: string } | null
  readonly charge?: string | { readonly id: string } | null
}

/** The payment that it takes from; null: it took from none that a checkout of ours makes. */
export async function paymentOf(ask: AskStripe, reversing: Reversing): Promise<string | null> {
  const payment = idOf(reversing.payment_intent)
  const charge = idOf(reversing.charge)
  if (payment !== null || charge === null) return payment
  return idOf((await ask((api) => api.charges.retrieve(charge))).payment_intent)
}

/** The subscription whose invoice it paid; null: none that can be told. */
export async function subscriptionPaidBy(
  ask: AskStripe,
  paymentId: string,
): Promise<string | null> {
  const payment = { type: 'payment_intent', payment_intent: paymentId } as const
  try {
    const { data } = await ask((api) => api.invoicePayments.list({ payment, limit: 1 }))
    const id = idOf(data[0]?.invoice)
    return id === null ? null : subscriptionOf(await ask((api) => api.invoices.retrieve(id)))
  } catch (error) {
    // a key that may not read invoices allocates for none
    if (error instanceof AppError && error.code === 'provider_refused') return null
    throw error
  }
}

/**
 * All refunds and disputes of a payment as they stand now: whatever was told before, twice or out
 * of order, this is what counts. Null: it is no payment of a purchase.
 */
export async function readReversals(
  ask: AskStripe,
  paymentId: string,
  now: () => number,
): Promise<ReversalFact | null> {
  const asOfMs = now()
  const intent = await ask((api) => api.paymentIntents.retrieve(paymentId))
  const purchaseId = intent.metadata?.purchaseId
  if (!purchaseId) return null
  const query = { payment_intent: paymentId, limit: PAGE }
  const all = { limit: MAX_REVERSALS }
  const refunds = await ask((api) => api.refunds.list(query).autoPagingToArray(all))
  const disputes = await ask((api) => api.disputes.list(query).autoPagingToArray(all))
  return {
    kind: 'reversal',
    provider: 'stripe',
    purchaseId,
    paymentId,
    paidAmount: intent.amount_received,
    currency: intent.currency.toUpperCase(),
    reversals: [...refunds.map(ofRefund), ...disputes.map((one) => ofDispute(one, intent))],
    asOfMs,
  }
}

const ofRefund = ({ id, amount, status }: Stripe.Refund): Reversal => ({
  id,
  type: 'refund',
  amount,
  state: stateOfRefund(status),
})

function stateOfRefund(status: string | null): Reversal['state'] {
  if (status === 'failed' || status === 'canceled') return 'failed'
  return status === 'succeeded' ? 'succeeded' : 'pending'
}

/** One in another currency than the payment's tells no share of it: then all is at stake. */
const ofDispute = (dispute: Stripe.Dispute, intent: Stripe.PaymentIntent): Reversal => ({
  id: dispute.id,
  type: 'dispute',
  amount: dispute.currency === intent.currency ? dispute.amount : intent.amount_received,
  state: stateOfDispute(dispute),
})

function stateOfDispute(dispute: Stripe.Dispute): Reversal['state'] {
  const status: string = dispute.status
  if (status === 'won' || status === 'lost') return status
  if (status === 'warning_closed' || status === 'prevented') return 'closed'
  if (status.startsWith('warning_')) return 'inquiry'
  // while it goes on, funds may be taken, and given back before it ends
  const moved = (dispute.balance_transactions ?? []).reduce((sum, { amount }) => sum + amount, 0)
  return moved < 0 ? 'withdrawn' : 'open'
}
