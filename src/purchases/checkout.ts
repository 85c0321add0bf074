import { AppError, accountNotFound } from '../errors.js'
import type { Caller } from '../http/once.js'
import { digestOf } from '../ledger/ids.js'
import type { Ledger } from '../ledger/ledger.js'
import type { ProviderName } from '../payment-facts.js'
import { type Flags, requireOn } from './flags.js'
import type { PackageView } from './packages/schema.js'
import type { Packages } from './packages/service.js'
import { chooseSeller, type Providers } from './sellers.js'
import { ASK_AFTER_MS } from './settle.js'
import type { NewPurchase, Purchase, PurchaseStore } from './store.js'

/** Others may write the same purchase meanwhile: its own webhook, for one. */
const MAX_ATTEMPTS = 20

export type CheckoutDeps = {
  readonly store: PurchaseStore
  readonly packages: Pick<Packages, 'get'>
  readonly ledger: Pick<Ledger, 'read'>
  readonly providers: Providers
  readonly flags: Flags
  readonly emailOf: (accountId: string) => Promise<string | null>
  /** How long an idempotency key is remembered. */
  readonly keyTtlMs: number
  /** Ms since the epoch. */
  readonly now: () => number
  readonly newId: () => string
}

export type PurchaseRequest = {
  readonly accountId: string
  readonly packageId: string
  /** null: the one that is configured. */
  readonly provider: ProviderName | null
  readonly successUrl: string | null
}

/**
 * Begins a purchase and its checkout. The purchase is stored before the provider hears of it, and
 * under the caller's key: whoever repeats the call after a crash gets the same checkout.
 */
export type BeginCheckout = (caller: Caller, request: PurchaseRequest) => Promise<Purchase>

export function createBeginCheckout(deps: CheckoutDeps): BeginCheckout {
  return async (caller, request) => {
    requireOn(deps.flags)
    const requestKey = keyOf(caller)
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const begun = requestKey === null ? null : await findBegun(deps, requestKey, request)
      const purchase = begun ?? (await agree(deps, request, requestKey))
      if (purchase !== null) return begin(deps, purchase)
    }
    throw new AppError('overloaded', 'The key is in use by many at once; try again')
  }
}

/** The purchase at the price of now; null when the key was taken by somebody else just then. */
async function agree(
  deps: CheckoutDeps,
  request: PurchaseRequest,
  requestKey: string | null,
): Promise<Purchase | null> {
  const provider = chooseSeller(deps.providers, request.provider)
  const sold = await deps.packages.get(request.packageId)
  if (!sold.active) {
    throw new AppError('package_inactive', `The package ${sold.id} is not for sale`)
  }
  await mustBeOpen(deps, request.accountId)
  return deps.store.insert(purchaseOf(deps, { request, provider, sold, requestKey }))
}

/** Keys belong to the caller, as they do everywhere. */
const keyOf = ({ actor, idempotencyKey }: Caller): string | null =>
  idempotencyKey === null ? null : digestOf('purchase', actor, idempotencyKey)

async function findBegun(
  { store, keyTtlMs, now }: CheckoutDeps,
  requestKey: string,
  request: PurchaseRequest,
): Promise<Purchase | null> {
  const begun = await store.byRequest(requestKey)
  if (begun === null) return null
  if (begun.createdAt.getTime() + keyTtlMs <= now()) {
    await store.update(begun, { requestKey: null })
    return null
  }
  const isSame =
    begun.accountId === request.accountId &&
    begun.packageId === request.packageId &&
    begun.successUrl === request.successUrl &&
    (request.provider === null || begun.provider === request.provider)
  if (isSame) return begun
  throw new AppError('idempotency_key_reused', 'The key was used for another purchase')
}

async function mustBeOpen({ ledger }: CheckoutDeps, accountId: string): Promise<void> {
  const state = await ledger.read(accountId)
  if (state === null) throw accountNotFound(accountId)
  if (state.status === 'closed') {
    throw new AppError('account_closed', `The account ${accountId} is closed`)
  }
}

type Agreed = {
  readonly request: PurchaseRequest
  readonly provider: ProviderName
  readonly sold: PackageView
  readonly requestKey: string | null
}

/** With all that was agreed on as it is now: what the package becomes later is no matter. */
function purchaseOf(
  { now, newId }: CheckoutDeps,
  { request, provider, sold, requestKey }: Agreed,
): NewPurchase {
  const nowMs = now()
  const at = new Date(nowMs)
  return {
    id: `pur_${newId().replaceAll('-', '')}`,
    accountId: request.accountId,
    packageId: sold.id,
    provider,
    status: 'pending',
    checkoutState: 'pending',
    credits: sold.credits,
    amount: sold.price,
    currency: sold.currency,
    priceId: priceIdOf(provider, sold),
    successUrl: request.successUrl,
    requestKey,
    createdAt: at,
    updatedAt: at,
    nextAttemptAt: provider === 'manual' ? null : new Date(nowMs + ASK_AFTER_MS),
  }
}

function priceIdOf(provider: ProviderName, sold: PackageView): string | null {
  if (provider === 'stripe') return sold.stripePriceId
  return provider === 'creem' ? sold.creemPriceId : null
}

/** The provider knows the purchase by its id, and gives the same checkout for it again. */
async function begin(deps: CheckoutDeps, purchase: Purchase): Promise<Purchase> {
  if (purchase.provider === 'manual' || purchase.checkoutId !== null) return purchase
  const sold = await deps.packages.get(purchase.packageId)
  const provider = deps.providers.byName.get(purchase.provider)
  if (!provider) throw new AppError('provider_unavailable', 'The provider is not configured')
  try {
    const checkout = await provider.create({
      purchaseId: purchase.id,
      accountId: purchase.accountId,
      email: await deps.emailOf(purchase.accountId),
      packageId: sold.id,
      name: sold.name,
      credits: purchase.credits,
      amount: purchase.amount,
      currency: purchase.currency,
      priceId: purchase.priceId,
      successUrl: purchase.successUrl,
    })
    const { checkoutId, checkoutUrl, expiresAtMs } = checkout
    const expiresAt = expiresAtMs === null ? null : new Date(expiresAtMs)
    return await keep(deps, purchase, { checkoutId, checkoutUrl, expiresAt })
  } catch (error) {
    // then there is no checkout, and nothing shall be left of the attempt
    if (error instanceof AppError && error.status < 500) await deps.store.remove(purchase.id)
    throw error
  }
}

/** What is known of a checkout already stays: it may have been paid there. */
async function keep(
  { store }: CheckoutDeps,
  purchase: Purchase,
  checkout: Pick<Purchase, 'checkoutId' | 'checkoutUrl' | 'expiresAt'>,
): Promise<Purchase> {
  let latest: Purchase | null = purchase
  for (let attempt = 0; attempt < MAX_ATTEMPTS && latest !== null; attempt += 1) {
    const { checkoutId } = latest
    if (checkoutId !== null && checkoutId !== checkout.checkoutId) return latest
    const updated = await store.update(latest, checkout)
    if (updated === 'taken') throw new Error('a provider gave two purchases one checkout')
    if (updated !== null) return updated
    latest = await store.get(purchase.id)
  }
  throw new Error(`the purchase ${purchase.id} does not hold still`)
}
