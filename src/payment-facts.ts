/*
 * What a payment provider's events and objects tell, in words of our own: the ground between those
 * who read a provider and those who act on it. A fact says how something is and not what changed,
 * so that facts may come twice, late and in any order. Amounts are in minor units, tax included
 * unless it says otherwise; currencies are ISO 4217 in capitals; ids are the provider's.
 */

export const PROVIDER_NAMES = ['stripe', 'creem', 'manual'] as const
export type ProviderName = (typeof PROVIDER_NAMES)[number]

/** How a one-time payment through a checkout stands. */
export type CheckoutFact = {
  readonly kind: 'checkout'
  readonly provider: ProviderName
  /** Ours, as we gave it to the provider; null: it names none, so it is no purchase of ours. */
  readonly purchaseId: string | null
  readonly checkoutId: string | null
  /** What refunds and disputes will refer to; null while nothing was paid. */
  readonly paymentId: string | null
  readonly state: 'paid' | 'processing' | 'failed' | 'expired'
  /** What the goods cost before tax and discounts; null where the provider does not tell. */
  readonly subtotal: number | null
  /** What was paid. */
  readonly amount: number | null
  readonly currency: string | null
  /** The provider's price or product; null where it does not tell. */
  readonly priceId: string | null
  readonly quantity: number
}

/** One refund or dispute of a payment, as it stood at `asOfMs`. */
export type Reversal = {
  readonly id: string
  readonly type: 'refund' | 'dispute'
  readonly amount: number
  /**
   * refund: pending | succeeded | failed. dispute: inquiry (nothing moved), open (before funds were
   * withdrawn), withdrawn, won, lost, closed (ended without a loss).
   */
  readonly state:
    | 'pending'
    | 'succeeded'
    | 'failed'
    | 'inquiry'
    | 'open'
    | 'withdrawn'
    | 'won'
    | 'lost'
    | 'closed'
}

/** Refunds and disputes of one payment; those that are not named are not told about. */
export type ReversalFact = {
  readonly kind: 'reversal'
  readonly provider: ProviderName
  readonly purchaseId: string | null
  readonly paymentId: string
  /** What was paid, on the same basis as the amounts of the reversals. */
  readonly paidAmount: number
  readonly currency: string
  readonly reversals: readonly Reversal[]
  /** When reading began, by the database's clock: of two readings the later one counts. */
  readonly asOfMs: number
}

/** How a subscription stands; grants nothing. */
export type SubscriptionFact = {
  readonly kind: 'subscription'
  readonly provider: ProviderName
  readonly subscriptionId: string
  /** From the metadata that the checkout carried; null: to be found by `subscriptionId`. */
  readonly accountId: string | null
  /** The provider's prices and products, any of which may name the plan. */
  readonly priceIds: readonly string[]
  readonly status: 'active' | 'trialing' | 'past_due' | 'unpaid' | 'paused' | 'canceled'
  readonly willEnd: boolean
  readonly periodStartMs: number | null
  readonly periodEndMs: number | null
  readonly asOfMs: number
}

/** A paid period of a subscription: what allocates. */
export type SubscriptionPaidFact = {
  readonly kind: 'subscription_paid'
  readonly provider: ProviderName
  readonly subscriptionId: string
  readonly accountId: string | null
  readonly priceIds: readonly string[]
  /** The invoice's line, or the transaction: one payment, one allocation. */
  readonly paymentId: string
  readonly reason: 'create' | 'cycle' | 'update'
  /** 0 for the invoice that begins a trial. */
  readonly amountPaid: number
  readonly periodStartMs: number
  readonly periodEndMs: number
  /**
   * When it was paid, where a provider tells a change within a period by that alone; null: its
   * reason and its period tell all.
   */
  readonly paidAtMs: number | null
}

export type PaymentFact = CheckoutFact | ReversalFact | SubscriptionFact | SubscriptionPaidFact

/**
 * What became of a fact. `parked`: what it refers to is not here yet, ask again later. `ignored`:
 * it is none of ours. `refused`: it contradicts what was sold, and an operator must look.
 */
export type FactOutcome =
  | { readonly kind: 'applied' }
  | { readonly kind: 'parked' | 'ignored' | 'refused'; readonly reason: string }

/** Takes one fact in. Safe to repeat, at once and later, in any order with other facts. */
export type TakeFact<F extends PaymentFact = PaymentFact> = (fact: F) => Promise<FactOutcome>
