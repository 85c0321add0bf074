import type { CheckoutFact, ProviderName, Reversal } from '../payment-facts.js'

/*
 * What a purchase comes to, from what is known of its payment: pure, and the same for the same
 * facts whatever order they came in, however often. A purchase only ever learns more: its checkout
 * state rises, its payment is known or not yet, and of each refund and dispute the latest reading
 * counts. What is then to be done is one step at a time, and each step may be done twice.
 */

/** How the checkout stands; a later one in this list beats an earlier one. */
const CHECKOUT_STATES = ['pending', 'processing', 'expired', 'failed', 'paid'] as const
export type CheckoutState = (typeof CHECKOUT_STATES)[number]

export const PURCHASE_STATUSES = [
  ...(['pending', 'processing', 'completed', 'failed', 'expired'] as const),
  ...(['refunded', 'disputed'] as const),
] as const
export type PurchaseStatus = (typeof PURCHASE_STATUSES)[number]

/** `others`: the account was frozen before the dispute, so it is not ours to unfreeze. */
export type Freeze = 'freezing' | 'frozen' | 'others'

/** The part of a purchase that decisions are made from. */
export type PurchaseState = {
  readonly provider: ProviderName
  readonly credits: number
  readonly amount: number
  readonly currency: string
  readonly priceId: string | null
  readonly checkoutState: CheckoutState
  readonly checkoutId: string | null
  readonly paymentId: string | null
  readonly paidAmount: number | null
  /** The account that the grant was begun for; null: it was not begun. */
  readonly grantedTo: string | null
  readonly grantSeq: number | null
  readonly clawBackStep: number
  readonly clawBackDoneStep: number
  readonly clawBackTarget: number
  /** The target of the last step that was done. */
  readonly clawBackDoneTarget: number
  /** Where credits are taken back instead of at `grantedTo`; null: there. */
  readonly collectedFrom: string | null
  readonly freeze: Freeze | null
}

/** One refund or dispute of its payment. */
export type KnownReversal = Pick<Reversal, 'id' | 'type' | 'amount' | 'state'> & {
  /** What was paid, on the same basis as `amount`. */
  readonly paidAmount: number
  readonly asOfMs: number
}

/** What a checkout fact adds to what is known. */
export type CheckoutNews = Partial<
  Pick<PurchaseState, 'checkoutState' | 'checkoutId' | 'paymentId' | 'paidAmount'>
>

export type Absorbed =
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'known' }
  | { readonly kind: 'news'; readonly news: CheckoutNews }

/** Takes a checkout fact in, or tells how it contradicts what was sold. */
export function absorb(purchase: PurchaseState, fact: CheckoutFact): Absorbed {
  const reason = contradiction(purchase, fact)
  if (reason !== null) return { kind: 'refused', reason }
  const isPaid = fact.state === 'paid'
  const paidAmount = isPaid ? greater(purchase.paidAmount, fact.amount) : purchase.paidAmount
  const news: CheckoutNews = {
    ...(isLater(fact.state, purchase.checkoutState) && { checkoutState: fact.state }),
    ...(purchase.checkoutId === null &&
      fact.checkoutId !== null && { checkoutId: fact.checkoutId }),
    ...(isPaid &&
      purchase.paymentId === null &&
      fact.paymentId !== null && { paymentId: fact.paymentId }),
    ...(paidAmount !== purchase.paidAmount && { paidAmount }),
  }
  return Object.keys(news).length === 0 ? { kind: 'known' } : { kind: 'news', news }
}

function contradiction(sold: PurchaseState, fact: CheckoutFact): string | null {
  const differs = (word: string, told: unknown, agreed: unknown) =>
    `the ${word} is ${String(told)} and not ${String(agreed)}, as it was sold`
  if (fact.provider !== sold.provider) return differs('provider', fact.provider, sold.provider)
  if (fact.currency !== null && fact.currency !== sold.currency) {
    return differs('currency', fact.currency, sold.currency)
  }
  const price = fact.subtotal ?? lowPayment(sold, fact)
  if (price !== null && price !== sold.amount) return differs('price', price, sold.amount)
  if (fact.priceId !== null && sold.priceId !== null && fact.priceId !== sold.priceId) {
    return differs('price id', fact.priceId, sold.priceId)
  }
  if (fact.quantity !== 1) return differs('quantity', fact.quantity, 1)
  if (isOther(fact.checkoutId, sold.checkoutId)) return 'it is of another checkout'
  if (fact.state === 'paid' && isOther(fact.paymentId, sold.paymentId)) {
    return `payment ${fact.paymentId} comes on top of ${sold.paymentId}, which paid already`
  }
  return null
}

/** What was paid by itself, too little: there was no checkout to give a discount. */
const lowPayment = (sold: PurchaseState, { checkoutId, amount }: CheckoutFact): number | null =>
  checkoutId === null && amount !== null && amount < sold.amount ? amount : null

const isOther = (told: string | null, known: string | null): boolean =>
  told !== null && known !== null && told !== known

const isLater = (state: CheckoutState, than: CheckoutState): boolean =>
  CHECKOUT_STATES.indexOf(state) > CHECKOUT_STATES.indexOf(than)

const greater = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.max(a, b)

/** Whether a reading of a refund or dispute takes the place of the one that is known. */
export const isNewer = (reading: KnownReversal, known: KnownReversal): boolean =>
  reading.asOfMs === known.asOfMs
    ? orderOf(reading) > orderOf(known)
    : reading.asOfMs > known.asOfMs

/** Two readings of one moment differ only when it moved on between them: the later state counts. */
const STATES: readonly Reversal['state'][] = [
  ...(['inquiry', 'pending', 'open', 'succeeded', 'withdrawn'] as const),
  ...(['failed', 'closed', 'won', 'lost'] as const),
]
const orderOf = ({ state, amount }: KnownReversal): string =>
  `${STATES.indexOf(state)}:${String(amount).padStart(16, '0')}`

/** What all refunds and disputes of a payment come to. */
export type Standing = {
  readonly status: PurchaseStatus
  /** Minor units, at most what was paid. */
  readonly paidAmount: number
  readonly refundedAmount: number
  readonly reversedAmount: number
  /** How many of the credits shall be clawed back in all. */
  readonly target: number
  readonly isDisputed: boolean
}

export function standingOf(purchase: PurchaseState, reversals: readonly KnownReversal[]): Standing {
  const paidAmount = basisOf(purchase, reversals)
  const sumOf = (states: readonly Reversal['state'][]) =>
    reversals
      .filter(({ state }) => states.includes(state))
      .reduce((sum, { amount }) => sum + BigInt(amount), 0n)
  const capped = (amount: bigint) => Number(min(amount, BigInt(paidAmount)))
  const refundedAmount = capped(sumOf(['succeeded']))
  const reversed = sumOf(['succeeded', 'withdrawn', 'lost'])
  const reversedAmount = capped(reversed)
  const isDisputed = reversals.some(({ state }) => DISPUTED.includes(state))
  const standing = { paidAmount, refundedAmount, reversedAmount, isDisputed }
  const target = targetOf(purchase.credits, { reversedAmount, paidAmount })
  return { ...standing, target, status: statusOf(purchase, standing) }
}

const DISPUTED: readonly Reversal['state'][] = ['open', 'withdrawn', 'lost']
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b)

/** Refunds and disputes bring the sum they are a part of; until one comes, it is the checkout's. */
function basisOf(purchase: PurchaseState, reversals: readonly KnownReversal[]): number {
  const [latest] = [...reversals].sort((a, b) => b.asOfMs - a.asOfMs || b.paidAmount - a.paidAmount)
  return latest?.paidAmount ?? purchase.paidAmount ?? purchase.amount
}

/** ceil(credits × reversed ÷ paid), exactly: part of a credit given back is a credit. */
export function targetOf(
  credits: number,
  { reversedAmount, paidAmount }: Pick<Standing, 'reversedAmount' | 'paidAmount'>,
): number {
  if (reversedAmount === 0) return 0
  const [granted, reversed, paid] = [BigInt(credits), BigInt(reversedAmount), BigInt(paidAmount)]
  return Number((granted * min(reversed, paid) + paid - 1n) / paid)
}

function statusOf(
  { checkoutState, grantSeq }: PurchaseState,
  { paidAmount, refundedAmount, isDisputed }: Omit<Standing, 'status' | 'target'>,
): PurchaseStatus {
  if (checkoutState !== 'paid') return checkoutState
  if (refundedAmount > 0 && refundedAmount === paidAmount) return 'refunded'
  if (isDisputed) return 'disputed'
  return grantSeq === null ? 'processing' : 'completed'
}

/** The next thing to do so that the ledger is as the payment is. */
export type Step =
  /** Notes for whom the credits are to be granted. */
  | { readonly kind: 'begin_grant' }
  /** Grants them, under the one key that the purchase has for that. */
  | { readonly kind: 'grant'; readonly to: string }
  /** Notes the next claw-back. */
  | { readonly kind: 'begin_claw_back'; readonly target: number }
  /** Does the one that is noted, under its own key: done late, it does no harm. */
  | {
      readonly kind: 'claw_back'
      readonly from: string
      readonly grantSeq: number
      readonly step: number
      readonly target: number
    }
  /** The same where the grant itself is not: as the difference to the step before. */
  | {
      readonly kind: 'collect'
      readonly from: string
      readonly step: number
      readonly target: number
      readonly change: number
    }
  | { readonly kind: 'begin_freeze' | 'freeze' | 'unfreeze' }
  | { readonly kind: 'rest' }

export type StepRules = { readonly disputeFreezesAccount: boolean }

/** What is to be done next; `rest` when all is as it should be. */
export function nextStep(purchase: PurchaseState, standing: Standing, rules: StepRules): Step {
  if (purchase.checkoutState !== 'paid') return { kind: 'rest' }
  const { grantedTo, grantSeq, freeze } = purchase
  if (grantSeq === null) {
    if (grantedTo !== null) return { kind: 'grant', to: grantedTo }
    if (!isReversed(standing)) return { kind: 'begin_grant' }
  } else if (grantedTo !== null) {
    const step = clawBackStep(purchase, standing, { from: grantedTo, grantSeq })
    if (step !== null) return step
  }
  if (freeze === 'freezing') return { kind: 'freeze' }
  const shallFreeze = standing.isDisputed && rules.disputeFreezesAccount
  if (shallFreeze && freeze === null) return { kind: 'begin_freeze' }
  if (!shallFreeze && freeze !== null) return { kind: 'unfreeze' }
  return { kind: 'rest' }
}

/** All of it went back before anybody began to grant: there is nothing to grant and take. */
const isReversed = ({ reversedAmount, paidAmount }: Standing): boolean =>
  reversedAmount > 0 && reversedAmount === paidAmount

function clawBackStep(
  { clawBackStep: step, clawBackTarget, ...purchase }: PurchaseState,
  { target }: Standing,
  granted: { readonly from: string; readonly grantSeq: number },
): Step | null {
  const { clawBackDoneStep, clawBackDoneTarget, collectedFrom: from } = purchase
  if (clawBackDoneStep === step) {
    return target === clawBackTarget ? null : { kind: 'begin_claw_back', target }
  }
  const noted = { step, target: clawBackTarget }
  if (from === null) return { kind: 'claw_back', ...granted, ...noted }
  return { kind: 'collect', from, ...noted, change: clawBackTarget - clawBackDoneTarget }
}
