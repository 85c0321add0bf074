import type { PaymentFact, ProviderName } from '../../payment-facts.js'

/** What a checkout is begun with. */
export type NewCheckout = {
  readonly purchaseId: string
  readonly accountId: string
  readonly email: string | null
  readonly packageId: string
  readonly name: string
  readonly credits: number
  /** In minor units, before tax. */
  readonly amount: number
  readonly currency: string
  /** The provider's price or product of the package; null: none was given. */
  readonly priceId: string | null
  readonly successUrl: string | null
}

export type Checkout = {
  readonly checkoutId: string | null
  /** Where the buyer goes to pay; null: nowhere, somebody confirms the payment. */
  readonly checkoutUrl: string | null
  /** After this it can not be paid any more; null: no such time. */
  readonly expiresAtMs: number | null
}

/** A payment to be refunded. */
export type PaymentToRefund = {
  readonly purchaseId: string
  readonly paymentId: string
  /** In minor units; null: all that is left. */
  readonly amount: number | null
  /** The same request under the same key is done once. */
  readonly key: string
}

/** A provider's event whose signature was right. */
export type ProviderEvent = {
  /** The provider's id of it: it is taken in once. */
  readonly id: string
  readonly type: string
  /** The object it is about; null where there is none. */
  readonly objectId: string | null
  readonly isLive: boolean
  readonly createdAtMs: number
  /** As it came, parsed. */
  readonly payload: Readonly<Record<string, unknown>>
}

export type RawEvent = {
  readonly body: Buffer
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
}

/**
 * One payment provider: all that is particular to it. Calls over the network end within a bounded
 * time and throw AppError `provider_unavailable` when it can not be reached, or `provider_refused`
 * with its reason when it will not.
 */
export type PaymentProvider = {
  readonly name: ProviderName
  /** Begins a checkout; the same purchase again gives the same checkout. */
  create(checkout: NewCheckout): Promise<Checkout>
  /**
   * Asks for money back. What becomes of it is told by facts: those that the reply holds already,
   * and others that come by events.
   */
  refund(payment: PaymentToRefund): Promise<readonly PaymentFact[]>
  /** Proves who sent an event; throws `invalid_signature`, or `invalid_request` for no event. */
  verifyAndParse(raw: RawEvent): ProviderEvent
  /**
   * What an event tells. Objects whose state may have moved on are read anew from the provider, so
   * this may throw `provider_unavailable`: ask again. An empty list: nothing that concerns us.
   */
  factsOf(event: ProviderEvent): Promise<readonly PaymentFact[]>
  /** How a purchase's checkout and its payment stand now. */
  fetch(purchase: {
    readonly purchaseId: string
    readonly checkoutId: string | null
    readonly paymentId: string | null
  }): Promise<readonly PaymentFact[]>
  /** Everything that happened since, in pages, for the nightly reconciliation. */
  list(sinceMs: number): AsyncIterable<readonly PaymentFact[]>
}
