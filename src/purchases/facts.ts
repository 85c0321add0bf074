import type { CheckoutFact, FactOutcome, ReversalFact, TakeFact } from '../payment-facts.js'
import { isPaymentRefused, refusalOf } from './refused-payments.js'
import type { ReversalStore } from './reversals.js'
import type { Settle } from './settle.js'
import { absorb, type CheckoutNews } from './state.js'
import type { Purchase, PurchaseChange, PurchaseStore } from './store.js'

/** Others may change the same purchase at the same time. */
const MAX_ATTEMPTS = 100
const PROVIDER_ID = /^[\x21-\x7e]{1,255}$/

export type FactsDeps = {
  readonly store: Pick<PurchaseStore, 'get' | 'byCheckout' | 'byPayment' | 'update'>
  readonly reversals: Pick<ReversalStore, 'note'>
  readonly settle: Settle
  /** Ms since the epoch. */
  readonly now: () => number
}

/**
 * Takes in what a provider tells of a payment, and brings purchase and ledger to where it is.
 * Safe to repeat, at once and later, in any order. Throws what may pass, such as a database that
 * is away: then what was taken in so far is finished by the job.
 */
export function createTakeFact(deps: FactsDeps): TakeFact<CheckoutFact | ReversalFact> {
  return async (fact) => {
    const fault = faultOf(fact)
    if (fault !== null) return { kind: 'refused', reason: fault }
    return fact.kind === 'checkout' ? takeCheckout(deps, fact) : takeReversal(deps, fact)
  }
}

/** What can not be kept: nothing else is made of it. */
function faultOf(fact: CheckoutFact | ReversalFact): string | null {
  const ids =
    fact.kind === 'checkout'
      ? [fact.purchaseId, fact.checkoutId, fact.paymentId, fact.priceId]
      : [fact.purchaseId, fact.paymentId, ...fact.reversals.map(({ id }) => id)]
  const odd = ids.find((id) => id !== null && !PROVIDER_ID.test(id))
  if (odd !== undefined) return 'an id in it is not 1 to 255 visible characters'
  const amounts =
    fact.kind === 'checkout'
      ? [fact.subtotal, fact.amount]
      : [fact.paidAmount, ...fact.reversals.map(({ amount }) => amount)]
  const isAmount = (amount: number | null) =>
    amount === null || (Number.isSafeInteger(amount) && amount >= 0)
  return amounts.every(isAmount) ? null : 'an amount in it is no whole number of minor units'
}

async function takeCheckout(deps: FactsDeps, fact: CheckoutFact): Promise<FactOutcome> {
  const { store, settle, now } = deps
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const purchase = await find(deps, fact)
    if (purchase === null) return unknownCheckout(fact)
    const absorbed = absorb(purchase, fact)
    if (absorbed.kind === 'refused') {
      if (!(await showRefusal(deps, purchase, { fact, reason: absorbed.reason }))) continue
      return absorbed
    }
    if (absorbed.kind === 'news') {
      const updated = await store.update(purchase, changeOf(absorbed.news, now()))
      if (updated === null) continue
      if (updated === 'taken') return { kind: 'refused', reason: await takenBy(deps, fact) }
    }
    return outcomeOf(await settle(purchase.id))
  }
  throw new Error(`the purchase ${fact.purchaseId} does not hold still`)
}

/**
 * Money that was paid, and not as it was sold, shows at the purchase. Of one that is paid for it
 * shows nowhere but where the fact came from. False: somebody else has changed it meanwhile.
 */
async function showRefusal(
  { store }: FactsDeps,
  purchase: Purchase,
  { fact, reason }: { readonly fact: CheckoutFact; readonly reason: string },
): Promise<boolean> {
  const isOurs = fact.provider === purchase.provider && purchase.checkoutState !== 'paid'
  const problem = refusalOf(fact, reason)
  if (fact.state !== 'paid' || !isOurs || purchase.problem === problem) return true
  const change = { problem, status: 'processing', nextAttemptAt: null } as const
  return (await store.update(purchase, change)) !== null
}

/** What is left to do is noted with it, so that a crash leaves it to the job. */
const changeOf = (news: CheckoutNews, nowMs: number): PurchaseChange => ({
  ...news,
  ...(news.checkoutState === 'paid' && { paidAt: new Date(nowMs) }),
  nextAttemptAt: new Date(nowMs),
})

async function find({ store }: FactsDeps, fact: CheckoutFact): Promise<Purchase | null> {
  if (fact.purchaseId !== null) return store.get(fact.purchaseId)
  return fact.checkoutId === null ? null : store.byCheckout(fact.provider, fact.checkoutId)
}

function unknownCheckout({ purchaseId, state }: CheckoutFact): FactOutcome {
  if (purchaseId === null) return { kind: 'ignored', reason: 'it names no purchase of ours' }
  const reason = `there is no purchase ${purchaseId}`
  // money for which nothing can be found must not go unseen
  return state === 'paid' ? { kind: 'parked', reason } : { kind: 'ignored', reason }
}

async function takenBy({ store }: FactsDeps, fact: CheckoutFact): Promise<string> {
  const { provider, paymentId, checkoutId } = fact
  const other = paymentId === null ? null : await store.byPayment(provider, paymentId)
  return other === null
    ? `checkout ${checkoutId} is that of another purchase`
    : `payment ${paymentId} has paid for ${other.id} already`
}

async function takeReversal(deps: FactsDeps, fact: ReversalFact): Promise<FactOutcome> {
  const { store, reversals, settle } = deps
  const { provider, paymentId, purchaseId, currency } = fact
  const named = purchaseId === null ? null : await store.get(purchaseId)
  const sold = named ?? (await store.byPayment(provider, paymentId))
  if (sold !== null && (sold.provider !== provider || sold.currency !== currency)) {
    return {
      kind: 'refused',
      reason: `${sold.id} was sold by ${sold.provider} in ${sold.currency}`,
    }
  }
  await reversals.note(fact)
  // only now: who completed the purchase meanwhile has either seen the note or is seen here
  const purchase = await store.byPayment(provider, paymentId)
  if (purchase !== null) return outcomeOf(await settle(purchase.id))
  if (named === null) {
    const reason = 'it is of no purchase of ours'
    return purchaseId === null ? { kind: 'ignored', reason } : { kind: 'parked', reason }
  }
  return named.paymentId === null
    ? { kind: 'applied' }
    : { kind: 'ignored', reason: `${named.id} was paid by ${named.paymentId}` }
}

function outcomeOf(purchase: Purchase): FactOutcome {
  const { problem } = purchase
  // that was another fact's
  if (problem === null || isPaymentRefused(purchase)) return { kind: 'applied' }
  return { kind: 'refused', reason: problem }
}

/** The facts of one provider's reply, one after another; gives the first that was refused. */
export async function takeAll<F>(
  takeFact: (fact: F) => Promise<FactOutcome>,
  facts: readonly F[],
): Promise<string | null> {
  let refusal: string | null = null
  for (const fact of facts) {
    const outcome = await takeFact(fact)
    if (outcome.kind === 'refused') refusal ??= outcome.reason
  }
  return refusal
}
