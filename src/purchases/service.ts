import { AppError, accountNotFound } from '../errors.js'
import { type Actor, ownerOf } from '../http/actor.js'
import type { Caller } from '../http/once.js'
import { type Page, pageOf } from '../http/page.js'
import { invalidField } from '../http/validator.js'
import { digestOf } from '../ledger/ids.js'
import type { Ledger } from '../ledger/ledger.js'
import type { CheckoutFact, PaymentFact, ReversalFact, TakeFact } from '../payment-facts.js'
import type { BeginCheckout } from './checkout.js'
import { takeAll } from './facts.js'
import { confirmationOf } from './providers/manual.js'
import { leftOf, refundable } from './refundable.js'
import type { ReversalStore } from './reversals.js'
import type { ConfirmBody, PurchaseBody, PurchaseView, RefundBody } from './schema.js'
import type { Providers } from './sellers.js'
import type { Position, Purchase, PurchaseStore } from './store.js'
import { viewOf } from './view.js'

export type Purchases = {
  /**
   * Begins the purchase of a package at its price of now; nothing is granted before it is paid. A
   * session buys for its own account. Throws `purchases_disabled`, `package_not_found`,
   * `package_inactive`, `account_not_found`, `account_closed`, and what the provider throws. Safe
   * to repeat under the same key.
   */
  purchaseCreditPackage(caller: Caller, actor: Actor, body: PurchaseBody): Promise<PurchaseView>
  /** Throws `purchase_not_found`, also for what is not the owner's; null: anybody's. */
  get(purchaseId: string, owner: string | null): Promise<PurchaseView>
  /** Newest first. Throws `account_not_found`. */
  list(
    accountId: string,
    page: { readonly before: Position | null; readonly limit: number },
  ): Promise<Page<PurchaseView>>
  /**
   * Takes a manual purchase for paid; of others asks the provider how the payment stands. Throws
   * `purchase_state` where that contradicts the purchase. Safe to repeat.
   */
  confirm(purchaseId: string, body: ConfirmBody): Promise<PurchaseView>
  /**
   * Asks the provider to give money back, in minor units; the credits follow what it then tells.
   * Throws `purchase_state`, `refund_exceeds_charge`, and what the provider throws.
   */
  refund(caller: Caller, purchaseId: string, body: RefundBody): Promise<PurchaseView>
}

export type PurchasesDeps = {
  readonly store: PurchaseStore
  readonly reversals: Pick<ReversalStore, 'of'>
  readonly ledger: Pick<Ledger, 'read'>
  readonly providers: Providers
  readonly beginCheckout: BeginCheckout
  readonly takeFact: TakeFact<CheckoutFact | ReversalFact>
  readonly payeeOf: (accountId: string) => Promise<string>
  readonly newId: () => string
}

export function createPurchases(deps: PurchasesDeps): Purchases {
  const { store, ledger } = deps
  return {
    async purchaseCreditPackage(caller, actor, body) {
      const { packageId, provider = null, successUrl = null } = body
      const accountId = accountOf(actor, body)
      const request = { accountId, packageId, provider, successUrl }
      return viewOf(await deps.beginCheckout(caller, request))
    },

    async get(purchaseId, owner) {
      const purchase = await mustGet(deps, purchaseId)
      if (owner !== null && purchase.accountId !== owner) throw notFound(purchaseId)
      return viewOf(purchase)
    },

    async list(accountId, { before, limit }) {
      const rows = await store.list(accountId, before, limit + 1)
      if (rows.length === 0 && (await ledger.read(accountId)) === null) {
        throw accountNotFound(accountId)
      }
      const page = pageOf(rows, limit, ({ createdAt, id }) => [createdAt.getTime(), id])
      return { ...page, items: page.items.map(viewOf) }
    },

    confirm: (purchaseId, body) => confirm(deps, purchaseId, body),
    refund: (caller, purchaseId, body) => refund(deps, caller, { purchaseId, body }),
  }
}

/** Another's account is to a session as if it were not there. */
function accountOf(actor: Actor, { accountId }: PurchaseBody): string {
  const own = ownerOf(actor)
  const named = accountId ?? own
  if (named === null) throw invalidField('accountId', 'Is required')
  if (own !== null && named !== own) throw accountNotFound(named)
  return named
}

async function confirm(
  deps: PurchasesDeps,
  purchaseId: string,
  body: ConfirmBody,
): Promise<PurchaseView> {
  const paymentIntentId = body.paymentIntentId ?? null
  const purchase = await mustGet(deps, purchaseId)
  const facts =
    purchase.provider === 'manual'
      ? [await confirmedByHand(deps, purchase, paymentIntentId)]
      : await providerOf(deps, purchase).fetch({
          purchaseId,
          checkoutId: purchase.checkoutId,
          paymentId: purchase.paymentId,
        })
  const refusal = await takeAll(deps.takeFact, ofPurchases(facts))
  const confirmed = await mustGet(deps, purchaseId)
  if (refusal !== null) throw stateOf(confirmed, refusal)
  const { paymentId } = confirmed
  if (paymentIntentId !== null && paymentId !== null && paymentId !== paymentIntentId) {
    throw stateOf(confirmed, `the purchase was paid by ${paymentId}`)
  }
  return viewOf(confirmed)
}

/** Nobody should be told that they paid for a closed account when it can still be refused. */
async function confirmedByHand(
  { ledger, payeeOf }: PurchasesDeps,
  purchase: Purchase,
  paymentIntentId: string | null,
): Promise<CheckoutFact> {
  if (purchase.checkoutState !== 'paid') {
    const state = await ledger.read(await payeeOf(purchase.accountId))
    if (state?.status === 'closed') {
      throw new AppError('account_closed', `The account ${purchase.accountId} is closed`)
    }
  }
  return confirmationOf(purchase, paymentIntentId)
}

type RefundRequest = { readonly purchaseId: string; readonly body: RefundBody }

async function refund(
  deps: PurchasesDeps,
  { actor, idempotencyKey }: Caller,
  { purchaseId, body }: RefundRequest,
): Promise<PurchaseView> {
  const purchase = await mustGet(deps, purchaseId)
  const { provider, paymentId, checkoutState } = purchase
  if (checkoutState !== 'paid' || paymentId === null) {
    throw stateOf(purchase, `it is ${purchase.status}, and only what was paid can be refunded`)
  }
  const amount = body.amount ?? null
  // what is booked here is checked there, where nobody else can book at the same time
  if (provider !== 'manual') {
    refundable(amount, leftOf(purchase, await deps.reversals.of({ provider, paymentId })))
  }
  const key =
    idempotencyKey === null ? deps.newId() : digestOf('refund', actor, purchaseId, idempotencyKey)
  const asked = { purchaseId, paymentId, amount, key }
  const facts = await providerOf(deps, purchase).refund(asked)
  const refusal = await takeAll(deps.takeFact, ofPurchases(facts))
  const refunded = await mustGet(deps, purchaseId)
  if (refusal !== null) throw stateOf(refunded, refusal)
  return viewOf(refunded)
}

async function mustGet({ store }: PurchasesDeps, purchaseId: string): Promise<Purchase> {
  const purchase = await store.get(purchaseId)
  if (purchase === null) throw notFound(purchaseId)
  return purchase
}

function providerOf({ providers }: PurchasesDeps, { provider }: Purchase) {
  const found = providers.byName.get(provider)
  if (found && providers.sellers.includes(provider)) return found
  throw new AppError('provider_unavailable', `${provider} is not configured any more`)
}

/** A provider's reply may tell of other things too; those come by events. */
export const ofPurchases = (facts: readonly PaymentFact[]): (CheckoutFact | ReversalFact)[] =>
  facts.filter((fact) => fact.kind === 'checkout' || fact.kind === 'reversal')

const notFound = (purchaseId: string): AppError =>
  new AppError('purchase_not_found', `There is no purchase ${purchaseId}`)

const stateOf = ({ status }: Purchase, reason: string): AppError =>
  new AppError('purchase_state', reason, { status })
