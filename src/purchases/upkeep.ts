import type { CheckoutFact, ReversalFact, TakeFact } from '../payment-facts.js'
import { takeAll } from './facts.js'
import type { Providers } from './sellers.js'
import { ofPurchases } from './service.js'
import { ASK_AFTER_MS, type Settle } from './settle.js'
import type { Purchase, PurchaseStore } from './store.js'

/** Looked at together; each costs a few reads and writes. */
const PAGE = 50
/** One run takes on at most ten thousand; the next comes soon. */
const MAX_PAGES = 200
/** How often a provider is asked of a payment that it tells nothing of. */
const ASK_AGAIN_MS = 24 * 3_600_000
const FAILED_AGAIN_MS = 60_000
/** A checkout that nobody paid by then is over for us; should it be paid yet, that counts. */
const OPEN_AT_MOST_MS = 30 * 24 * 3_600_000

export type PurchaseUpkeepDeps = {
  readonly store: Pick<PurchaseStore, 'due' | 'get' | 'update'>
  readonly settle: Settle
  readonly takeFact: TakeFact<CheckoutFact | ReversalFact>
  readonly providers: Providers
  /** Ms since the epoch. */
  readonly now: () => number
  /** A purchase could not be dealt with and will be tried again. */
  readonly onFault: (error: unknown, purchaseId: string) => void
}

/**
 * Finishes what a crash left of purchases, tries again what the ledger refused, and asks the
 * provider of those that nothing was heard of; gives how many it looked at. Safe to run at the
 * same time as anything else. It ends after its page when `signal` is aborted.
 */
export function createPurchaseUpkeep(
  deps: PurchaseUpkeepDeps,
): (signal?: AbortSignal) => Promise<number> {
  const { store, now, onFault } = deps

  async function tend(purchase: Purchase): Promise<void> {
    try {
      await tendOne(deps, purchase)
    } catch (error) {
      onFault(error, purchase.id)
      await postpone(deps, purchase.id, now() + FAILED_AGAIN_MS)
    }
  }

  return async (signal) => {
    let count = 0
    for (let page = 0; page < MAX_PAGES && !signal?.aborted; page += 1) {
      const due = await store.due(PAGE)
      await Promise.all(due.map(tend))
      count += due.length
      if (due.length < PAGE) break
    }
    return count
  }
}

async function tendOne(deps: PurchaseUpkeepDeps, due: Purchase): Promise<void> {
  const { settle, now } = deps
  const purchase = await settle(due.id)
  const ageMs = now() - purchase.createdAt.getTime()
  const isOpen = ['pending', 'processing'].includes(purchase.checkoutState)
  if (!isOpen || purchase.provider === 'manual' || purchase.nextAttemptAt === null) return
  if (ageMs < ASK_AFTER_MS) return
  await postpone(deps, purchase.id, now() + ASK_AGAIN_MS)
  const seller = deps.providers.byName.get(purchase.provider)
  const { id: purchaseId, checkoutId, paymentId } = purchase
  if (seller && deps.providers.sellers.includes(purchase.provider)) {
    const facts = await seller.fetch({ purchaseId, checkoutId, paymentId })
    const refusal = await takeAll(deps.takeFact, ofPurchases(facts))
    if (refusal !== null) deps.onFault(new Error(refusal), purchaseId)
  }
  // there never was a checkout, or its time is over
  if (checkoutId === null || ageMs > OPEN_AT_MOST_MS) await deps.takeFact(expiryOf(purchase))
}

async function postpone(
  { store }: PurchaseUpkeepDeps,
  purchaseId: string,
  untilMs: number,
): Promise<void> {
  const purchase = await store.get(purchaseId)
  // if somebody changes it just then, it is looked at again, which does no harm
  if (purchase !== null) await store.update(purchase, { nextAttemptAt: new Date(untilMs) })
}

const expiryOf = ({ id, provider, checkoutId }: Purchase): CheckoutFact => ({
  kind: 'checkout',
  provider,
  purchaseId: id,
  checkoutId,
  paymentId: null,
  state: 'expired',
  subtotal: null,
  amount: null,
  currency: null,
  priceId: null,
  quantity: 1,
})
