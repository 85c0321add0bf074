import type { BaseLogger } from 'pino'
import type { PaymentFact } from '../../payment-facts.js'
import type { ProviderEvent } from './provider.js'
import { readCheckout, readPayment } from './stripe-checkouts.js'
import { type AskStripe, idOf } from './stripe-client.js'
import { paymentOf, type Reversing, readReversals, subscriptionPaidBy } from './stripe-reversals.js'
import { readInvoice, readSubscription, subscriptionOf } from './stripe-subscriptions.js'

export type StripeDeps = {
  readonly ask: AskStripe
  /** The database's time, in ms since the epoch. */
  readonly now: () => number
  readonly log: Pick<BaseLogger, 'warn'>
}

type Facts = Promise<readonly PaymentFact[]>
/** The object of an event, which may be older than the state that it is in now. */
type Read = (deps: StripeDeps, object: Objects, event: ProviderEvent) => Facts

/** What of an event's object is looked at: never its amounts or its state. */
type Objects = Reversing & {
  readonly id: string
  readonly mode?: string
  readonly subscription?: string | { readonly id: string } | null
  readonly parent?: { readonly subscription_details?: { readonly subscription: string } | null }
}

const factsIn = (...facts: readonly (PaymentFact | null)[]): readonly PaymentFact[] =>
  facts.filter((fact) => fact !== null)

const checkout: Read = async (deps, { id, mode, subscription }) => {
  if (mode !== 'subscription') return factsIn(await readCheckout(deps.ask, id))
  const subscriptionId = idOf(subscription)
  return subscriptionId === null ? [] : [await readSubscription(deps.ask, subscriptionId, deps.now)]
}

const payment: Read = async ({ ask }, { id }) => factsIn(await readPayment(ask, id))

const reversal: Read = async ({ ask, now, log }, object, event) => {
  const paymentId = await paymentOf(ask, object)
  if (paymentId === null) return []
  const fact = await readReversals(ask, paymentId, now)
  const subscriptionId = fact === null ? await subscriptionPaidBy(ask, paymentId) : null
  if (subscriptionId !== null) {
    log.warn(
      { subscriptionId, paymentId, eventId: event.id },
      'a payment of a subscription is refunded or disputed; what it paid for goes on',
    )
  }
  return factsIn(fact)
}

const subscription: Read = async ({ ask, now }, { id }) => [await readSubscription(ask, id, now)]

const paidInvoice: Read = ({ ask, now }, { id }) => readInvoice(ask, id, now)

const failedInvoice: Read = async ({ ask, now }, object) => {
  const id = subscriptionOf(object as never)
  return id === null ? [] : [await readSubscription(ask, id, now)]
}

const fraudWarning: Read = async ({ log }, { id, charge }, event) => {
  const about = { warningId: id, charge: idOf(charge), eventId: event.id }
  log.warn(about, 'Stripe warns of fraud: consider a refund before there is a dispute')
  return []
}

/** What each type of event makes us read. A type that is not here tells nothing of ours. */
const READS: Readonly<Record<string, Read>> = {
  'checkout.session.completed': checkout,
  'checkout.session.async_payment_succeeded': checkout,
  'checkout.session.async_payment_failed': checkout,
  'checkout.session.expired': checkout,
  'payment_intent.succeeded': payment,
  'payment_intent.processing': payment,
  'payment_intent.payment_failed': payment,
  'payment_intent.canceled': payment,
  'refund.created': reversal,
  'refund.updated': reversal,
  'refund.failed': reversal,
  'charge.refunded': reversal,
  'charge.refund.updated': reversal,
  'charge.dispute.created': reversal,
  'charge.dispute.updated': reversal,
  'charge.dispute.funds_withdrawn': reversal,
  'charge.dispute.funds_reinstated': reversal,
  'charge.dispute.closed': reversal,
  'radar.early_fraud_warning.created': fraudWarning,
  'invoice.paid': paidInvoice,
  'invoice.payment_failed': failedInvoice,
  'customer.subscription.created': subscription,
  'customer.subscription.updated': subscription,
  'customer.subscription.deleted': subscription,
  'customer.subscription.paused': subscription,
  'customer.subscription.resumed': subscription,
  'customer.subscription.trial_will_end': subscription,
}

/** The types of events that an endpoint should be sent. */
export const STRIPE_EVENT_TYPES: readonly string[] = Object.keys(READS)

/**
 * What an event makes known: not what it says itself, but how its object stands now. So events may
 * come twice, late and in any order.
 */
export async function readFacts(deps: StripeDeps, event: ProviderEvent): Facts {
  const read = Object.hasOwn(READS, event.type) ? READS[event.type] : undefined
  const { account, data } = event.payload as { account?: string; data: { object: Objects } }
  // of an account that is connected to ours: what is sold there is not sold here
  if (read === undefined || account || event.objectId === null) return []
  return read(deps, data.object, event)
}
