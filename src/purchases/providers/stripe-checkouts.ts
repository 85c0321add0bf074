import type Stripe from 'stripe'
import { AppError, hasCode } from '../../errors.js'
import { invalidField } from '../../http/validator.js'
import type { CheckoutFact } from '../../payment-facts.js'
import type { Checkout, NewCheckout } from './provider.js'
import { type AskStripe, idOf } from './stripe-client.js'

/** What a session must be read with to tell all of it. */
export const SESSION_PARTS = ['line_items', 'payment_intent']

/** Begins a checkout of one package; under a key of the purchase, so that there is only one. */
export async function createCheckout(ask: AskStripe, wanted: NewCheckout): Promise<Checkout> {
  const { purchaseId, accountId, packageId, email, successUrl } = wanted
  if (successUrl === null) {
    throw invalidField('successUrl', 'Stripe must be told where a buyer goes who has paid')
  }
  // those of a session do not reach the payment, which is what refunds and disputes name
  const metadata = { purchaseId, accountId, packageId }
  const session = await ask((api) =>
    api.checkout.sessions.create(
      {
        mode: 'payment',
        line_items: [lineOf(wanted)],
        client_reference_id: purchaseId,
        metadata,
        payment_intent_data: { metadata },
        ...(email !== null && { customer_email: email }),
        success_url: successUrl,
        cancel_url: cancelUrl(successUrl),
      },
      { idempotencyKey: `purchase:${purchaseId}` },
    ),
  )
  await mustBeAsSold(ask, session, wanted)
  return {
    checkoutId: session.id,
    checkoutUrl: session.url,
    expiresAtMs: session.expires_at * 1000,
  }
}

/** A price of Stripe's own may have changed: nobody shall pay what would then be refused. */
async function mustBeAsSold(
  ask: AskStripe,
  { id, amount_subtotal: subtotal, currency }: Stripe.Checkout.Session,
  sold: NewCheckout,
): Promise<void> {
  const asked = `${subtotal} ${currency?.toUpperCase()}`
  const agreed = `${sold.amount} ${sold.currency}`
  if (asked === agreed) return
  try {
    await ask((api) => api.checkout.sessions.expire(id))
  } catch (error) {
    // it is over already
    if (!hasCode(error, 'provider_refused')) throw error
  }
  throw new AppError('provider_refused', `Stripe would ask for ${asked}, and not for ${agreed}`)
}

function lineOf({ priceId, currency, amount, name, credits }: NewCheckout) {
  if (priceId !== null) return { price: priceId, quantity: 1 }
  const product_data = { name, description: `${credits} credits` }
  return {
    price_data: { currency: currency.toLowerCase(), unit_amount: amount, product_data },
    quantity: 1,
  }
}

/** The same page, told that nothing was bought. */
function cancelUrl(successUrl: string): string {
  const url = new URL(successUrl)
  url.searchParams.set('canceled', 'true')
  return url.href
}

/** How the checkout stands; null: it is none of ours, or nobody has finished it. */
export async function readCheckout(ask: AskStripe, id: string): Promise<CheckoutFact | null> {
  return factOfSession(
    await ask((api) => api.checkout.sessions.retrieve(id, { expand: SESSION_PARTS })),
  )
}

/** The same by its payment; a payment of ours without a checkout speaks for itself. */
export async function readPayment(ask: AskStripe, id: string): Promise<CheckoutFact | null> {
  const intent = await ask((api) => api.paymentIntents.retrieve(id))
  if (!intent.metadata?.purchaseId) return null
  const expand = SESSION_PARTS.map((part) => `data.${part}`)
  const { data } = await ask((api) =>
    api.checkout.sessions.list({ payment_intent: id, limit: 1, expand }),
  )
  return data[0] ? factOfSession(data[0]) : factOfIntent(intent)
}

/** Of a session that was read with its parts. */
export function factOfSession(session: Stripe.Checkout.Session): CheckoutFact | null {
  const purchaseId = session.metadata?.purchaseId
  const state = stateOf(session)
  if (session.mode !== 'payment' || !purchaseId || state === null) return null
  const isPaid = state === 'paid'
  const lines = session.line_items?.data ?? []
  // of a checkout with several lines only the sum can be compared
  const line = lines.length === 1 ? lines[0] : undefined
  return {
    kind: 'checkout',
    provider: 'stripe',
    purchaseId,
    checkoutId: session.id,
    // what cost nothing has no payment
    paymentId: isPaid ? (idOf(session.payment_intent) ?? session.id) : null,
    state,
    subtotal: session.amount_subtotal,
    amount: isPaid ? session.amount_total : null,
    currency: session.currency?.toUpperCase() ?? null,
    priceId: line?.price?.id ?? null,
    quantity: line?.quantity ?? 1,
  }
}

/** A session that was completed without money waits for it, until its payment says otherwise. */
function stateOf(session: Stripe.Checkout.Session): CheckoutFact['state'] | null {
  const { status, payment_status: paymentStatus, payment_intent: intent } = session
  if (status === 'expired') return 'expired'
  if (status !== 'complete') return null
  if (paymentStatus !== 'unpaid') return 'paid'
  if (typeof intent !== 'object' || intent === null) return 'processing'
  return stateOfIntent(intent) ?? 'failed'
}

function stateOfIntent({ status }: Stripe.PaymentIntent): CheckoutFact['state'] | null {
  if (status === 'succeeded') return 'paid'
  if (status === 'canceled') return 'failed'
  // another means of payment is wanted: within a checkout that is over there is none
  return status === 'requires_payment_method' ? null : 'processing'
}

function factOfIntent(intent: Stripe.PaymentIntent): CheckoutFact | null {
  const state = stateOfIntent(intent)
  if (state === null) return null
  const isPaid = state === 'paid'
  return {
    kind: 'checkout',
    provider: 'stripe',
    purchaseId: intent.metadata.purchaseId ?? null,
    checkoutId: null,
    paymentId: isPaid ? intent.id : null,
    state,
    subtotal: null,
    amount: isPaid ? intent.amount_received : null,
    currency: intent.currency.toUpperCase(),
    priceId: null,
    quantity: 1,
  }
}
