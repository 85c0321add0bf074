import { AppError } from '../../errors.js'
import type { PaymentFact } from '../../payment-facts.js'
import type { CreemEventDeps } from './creem-events.js'
import { reversalFactOf } from './creem-facts.js'
import { amountOf, type Fields, idOf, instantOf } from './creem-fields.js'
import { type CreemPage, isPaid } from './creem-reader.js'
import { ownerOf, subscriptionFactOf, subscriptionPaidFactOf } from './creem-subscriptions.js'

/** Refunds and disputes come as late as this after their payment. */
const REVERSAL_MS = 180 * 24 * 3_600_000

/**
 * What happened since, of everything Creem has: subscriptions, their payments since, and what was
 * taken back of payments, however old those are. One-time payments are not here: a transaction
 * does not name its checkout, so they are found by asking for the checkouts that we know of.
 */
export async function* listCreemFacts(
  deps: CreemEventDeps,
  sinceMs: number,
): AsyncIterable<readonly PaymentFact[]> {
  const seen = new Map<string, Fields>()
  for await (const page of deps.reader.pages('subscriptions')) {
    for (const subscription of page.items) {
      const id = idOf(subscription)
      if (id !== null) seen.set(id, subscription)
    }
    const { asOfMs } = page
    yield page.items.flatMap((item) => subscriptionFactOf(item, ownerOf(item), asOfMs) ?? [])
    refuseCut(page, 'subscriptions')
  }
  const oldestMs = Math.min(sinceMs, deps.now() - REVERSAL_MS)
  let lastMs = Number.POSITIVE_INFINITY
  let isInOrder = true
  for await (const page of deps.reader.pages('transactions')) {
    yield await factsOfPage(deps, page, { seen, sinceMs })
    const times = page.items.map((item) => instantOf(item.created_at) ?? lastMs)
    for (const ms of times) {
      isInOrder &&= ms <= lastMs
      lastMs = ms
    }
    // Creem promises no order; while it keeps the newest first, the rest is older still
    if (isInOrder && times.length > 0 && Math.max(...times) < oldestMs) return
    refuseCut(page, 'transactions')
  }
}

const refuseCut = ({ isCut }: CreemPage, kind: string): void => {
  if (!isCut) return
  throw new AppError('provider_refused', `Creem has more ${kind} than can be looked at in one run`)
}

type Known = { readonly seen: Map<string, Fields>; readonly sinceMs: number }

const factsOfPage = async (
  deps: CreemEventDeps,
  { items, asOfMs }: CreemPage,
  known: Known,
): Promise<readonly PaymentFact[]> => {
  const facts: PaymentFact[] = []
  for (const transaction of items) {
    const subscriptionId = idOf(transaction.subscription)
    const fact =
      subscriptionId === null
        ? reversalFactOf(transaction, { purchaseId: null, hint: null, asOfMs })
        : await paidPeriodOf(deps, transaction, { ...known, subscriptionId })
    if (fact !== null) facts.push(fact)
  }
  return facts
}

const paidPeriodOf = async (
  { reader }: CreemEventDeps,
  transaction: Fields,
  { seen, sinceMs, subscriptionId }: Known & { readonly subscriptionId: string },
): Promise<PaymentFact | null> => {
  const createdAtMs = instantOf(transaction.created_at)
  const paymentId = idOf(transaction)
  if (paymentId === null || createdAtMs === null || createdAtMs < sinceMs) return null
  if (!isPaid(transaction) || transaction.status === 'refunded') return null
  const subscription = seen.get(subscriptionId) ?? (await reader.subscription(subscriptionId))
  if (!subscription) return null
  seen.set(subscriptionId, subscription)
  // the subscription's own period is that of its last payment
  const isLast = subscription.last_transaction_id === paymentId
  const own = isLast ? subscription : {}
  const periodStartMs = instantOf(own.current_period_start_date ?? transaction.period_start)
  const periodEndMs = instantOf(own.current_period_end_date ?? transaction.period_end)
  if (periodStartMs === null || periodEndMs === null) return null
  const amountPaid = amountOf(transaction.amount_paid) ?? amountOf(transaction.amount) ?? 0
  return subscriptionPaidFactOf(subscription, ownerOf(subscription), {
    ...{ paymentId, amountPaid, periodStartMs, periodEndMs, paidAtMs: createdAtMs },
  })
}
