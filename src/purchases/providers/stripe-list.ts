import type Stripe from 'stripe'
import type { PaymentFact } from '../../payment-facts.js'
import { factOfSession, SESSION_PARTS } from './stripe-checkouts.js'
import { idOf, type Page, type PageQuery, pagesOf } from './stripe-client.js'
import type { StripeDeps } from './stripe-events.js'
import { type Reversing, readReversals } from './stripe-reversals.js'
import { readInvoice, readSubscription } from './stripe-subscriptions.js'

/** A checkout can be paid, and an invoice, this long after it was made. */
const OPEN_FOR_MS = 24 * 3_600_000

/**
 * Everything that was begun since, as it stands now: checkouts, reversals, paid invoices. And every
 * subscription that may have changed since: Stripe lists none by that.
 */
export async function* listFacts(
  deps: StripeDeps,
  sinceMs: number,
): AsyncGenerator<readonly PaymentFact[]> {
  yield* listCheckouts(deps, sinceMs - OPEN_FOR_MS)
  yield* listReversals(deps, 'refunds', sinceMs)
  yield* listReversals(deps, 'disputes', sinceMs)
  yield* listInvoices(deps, sinceMs - OPEN_FOR_MS)
  yield* listSubscriptions(deps, sinceMs)
}

const since = (sinceMs: number) => ({ created: { gte: Math.floor(sinceMs / 1000) } })

const cut =
  ({ log }: StripeDeps, what: string) =>
  () =>
    log.warn({ what }, 'Stripe has more than one run looks at: look more often')

async function* listCheckouts(deps: StripeDeps, sinceMs: number) {
  const expand = SESSION_PARTS.map((part) => `data.${part}`)
  const pages = pagesOf(
    (page) => deps.ask((api) => api.checkout.sessions.list({ ...since(sinceMs), ...page, expand })),
    cut(deps, 'checkouts'),
  )
  for await (const sessions of pages) {
    yield sessions.map(factOfSession).filter((fact) => fact !== null)
  }
}

type Reversed = Pick<Reversing, 'payment_intent'> & { readonly id: string }

async function* listReversals(deps: StripeDeps, kind: 'refunds' | 'disputes', sinceMs: number) {
  const read = (api: Stripe, query: PageQuery): Promise<Page<Reversed>> =>
    kind === 'refunds' ? api.refunds.list(query) : api.disputes.list(query)
  const pages = pagesOf(
    (page) => deps.ask((api) => read(api, { ...since(sinceMs), ...page })),
    cut(deps, kind),
  )
  for await (const reversals of pages) {
    const payments = new Set(reversals.map((one) => idOf(one.payment_intent)))
    for (const paymentId of payments) {
      if (paymentId === null) continue
      const fact = await readReversals(deps.ask, paymentId, deps.now)
      if (fact !== null) yield [fact]
    }
  }
}

async function* listInvoices(deps: StripeDeps, sinceMs: number) {
  const pages = pagesOf(
    (page) => deps.ask((api) => api.invoices.list({ status: 'paid', ...since(sinceMs), ...page })),
    cut(deps, 'invoices'),
  )
  for await (const invoices of pages) {
    for (const { id } of invoices) yield await readInvoice(deps.ask, id, deps.now)
  }
}

/** Newest first, whatever their age: one that ended before, and so can change no more, is left. */
async function* listSubscriptions(deps: StripeDeps, sinceMs: number) {
  const pages = pagesOf(
    (page) => deps.ask((api) => api.subscriptions.list({ status: 'all', ...page })),
    cut(deps, 'subscriptions'),
  )
  for await (const subscriptions of pages) {
    for (const { id, ended_at: endedAt } of subscriptions) {
      if (endedAt !== null && endedAt !== undefined && endedAt * 1000 < sinceMs) continue
      yield [await readSubscription(deps.ask, id, deps.now)]
    }
  }
}
