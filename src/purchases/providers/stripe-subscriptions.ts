import type Stripe from 'stripe'
import { ACCOUNT_ID } from '../../http/schema.js'
import type { SubscriptionFact, SubscriptionPaidFact } from '../../payment-facts.js'
import { type AskStripe, idOf } from './stripe-client.js'

/** Of one invoice. */
const MAX_LINES = 1_000
const PAGE = 100

type Reference = string | { readonly id: string } | null

/** Where things were in versions of the API before 2025-03-31. */
type OldSubscription = {
  readonly current_period_start?: number
  readonly current_period_end?: number
}
type OldInvoice = { readonly subscription?: Reference }
type OldLine = {
  readonly proration?: boolean
  readonly type?: string
  readonly price?: { readonly id: string; readonly product: Reference } | null
}

const STATUSES: Readonly<Record<string, SubscriptionFact['status']>> = {
  active: 'active',
  trialing: 'trialing',
  past_due: 'past_due',
  unpaid: 'unpaid',
  paused: 'paused',
  canceled: 'canceled',
  // its first payment is still to come, or never came
  incomplete: 'unpaid',
  incomplete_expired: 'canceled',
}

/** How a subscription stands now. */
export async function readSubscription(
  ask: AskStripe,
  id: string,
  now: () => number,
): Promise<SubscriptionFact> {
  const asOfMs = now()
  const subscription = await ask((api) => api.subscriptions.retrieve(id))
  const items = subscription.items.data
  const period = items[0]
  const old = subscription as OldSubscription
  return {
    kind: 'subscription',
    provider: 'stripe',
    subscriptionId: id,
    accountId: await accountOf(ask, subscription),
    priceIds: namesOf(items.map(({ price }) => price)),
    status: STATUSES[subscription.status] ?? 'unpaid',
    willEnd: subscription.cancel_at_period_end || subscription.cancel_at !== null,
    periodStartMs: msOf(period?.current_period_start ?? old.current_period_start),
    periodEndMs: msOf(period?.current_period_end ?? old.current_period_end),
    asOfMs,
  }
}

/** What its metadata says, or what the checkout that made it says of whom it is for. */
async function accountOf(
  ask: AskStripe,
  { id, metadata }: Stripe.Subscription,
): Promise<string | null> {
  if (metadata?.accountId) return accountIn(metadata.accountId)
  const { data } = await ask((api) => api.checkout.sessions.list({ subscription: id, limit: 1 }))
  return accountIn(data[0]?.metadata?.accountId ?? data[0]?.client_reference_id)
}

const accountIn = (text: string | null | undefined): string | null =>
  text && ACCOUNT_ID.test(text) ? text : null

const REASONS: Readonly<Record<string, SubscriptionPaidFact['reason']>> = {
  subscription_create: 'create',
  subscription_cycle: 'cycle',
  subscription_update: 'update',
}

/**
 * What a paid invoice of a subscription allocates, one fact a line, after how the subscription
 * stands. Nothing for other invoices: that of a checkout with an invoice is told by its checkout.
 */
export async function readInvoice(
  ask: AskStripe,
  id: string,
  now: () => number,
): Promise<readonly (SubscriptionFact | SubscriptionPaidFact)[]> {
  const invoice = await ask((api) => api.invoices.retrieve(id))
  const reason = REASONS[invoice.billing_reason ?? '']
  const subscriptionId = subscriptionOf(invoice)
  if (!reason || subscriptionId === null || invoice.status !== 'paid') return []
  const subscription = await readSubscription(ask, subscriptionId, now)
  const lines = (await linesOf(ask, invoice)).filter((line) => isAllocating(line, reason))
  return [
    subscription,
    ...lines.map((line) => paidFact(invoice, line, { ...subscription, reason })),
  ]
}

/** The subscription of an invoice; null: it has none. */
export function subscriptionOf(invoice: Stripe.Invoice): string | null {
  const details = invoice.parent?.subscription_details
  return idOf(details?.subscription ?? (invoice as OldInvoice).subscription)
}

async function linesOf(
  ask: AskStripe,
  { id, lines }: Stripe.Invoice,
): Promise<readonly Stripe.InvoiceLineItem[]> {
  if (!lines.has_more) return lines.data
  const all = { limit: MAX_LINES }
  return ask((api) => api.invoices.listLineItems(id, { limit: PAGE }).autoPagingToArray(all))
}

/**
 * A new period is a line of its own; what a change in the middle of one costs more is a positive
 * proration, which comes at once with an invoice of that reason.
 */
function isAllocating(line: Stripe.InvoiceLineItem, reason: SubscriptionPaidFact['reason']) {
  const { parent } = line
  const old = line as OldLine
  const ofItem = parent?.subscription_item_details
  const isOfSubscription = Boolean(ofItem) || old.type === 'subscription'
  const isProration = Boolean(
    ofItem?.proration ?? parent?.invoice_item_details?.proration ?? old.proration,
  )
  if (reason === 'update') return line.amount > 0 && (isOfSubscription || isProration)
  return isOfSubscription && !isProration && line.amount >= 0
}

function paidFact(
  invoice: Stripe.Invoice,
  line: Stripe.InvoiceLineItem,
  of: Pick<SubscriptionPaidFact, 'subscriptionId' | 'accountId' | 'reason'>,
): SubscriptionPaidFact {
  const details = line.pricing?.price_details
  const price = details
    ? { id: idOf(details.price) ?? '', product: details.product }
    : (line as OldLine).price
  return {
    kind: 'subscription_paid',
    provider: 'stripe',
    subscriptionId: of.subscriptionId,
    accountId: of.accountId,
    priceIds: namesOf(price ? [price] : []),
    paymentId: `${invoice.id}:${line.id}`,
    reason: of.reason,
    // credit of the customer, a coupon, or payment elsewhere pays too; a trial alone costs nothing
    amountPaid: invoice.amount_paid > 0 ? invoice.amount_paid : Math.max(0, line.amount),
    periodStartMs: line.period.start * 1000,
    periodEndMs: line.period.end * 1000,
    paidAtMs: null,
  }
}

const namesOf = (prices: readonly { readonly id: string; readonly product: Reference }[]) => [
  ...new Set(prices.flatMap(({ id, product }) => [id, idOf(product) ?? '']).filter(Boolean)),
]

const msOf = (seconds: number | undefined): number | null =>
  seconds === undefined ? null : seconds * 1000
