import type { BaseLogger } from 'pino'
import { AppError } from '../../errors.js'
import type { PaymentFact } from '../../payment-facts.js'
import { type CreemClient, createCreemClient, isTestKey } from './creem-client.js'
import { type CreemEventDeps, factsOfCheckout, factsOfCreemEvent } from './creem-events.js'
import { isChargedBack, type ReversalAbout, reversalFactOf } from './creem-facts.js'
import { amountOf, type Fields, idOf, textOf } from './creem-fields.js'
import { listCreemFacts } from './creem-list.js'
import { createCreemReader } from './creem-reader.js'
import { verifyCreemEvent } from './creem-signature.js'
import type { Checkout, NewCheckout, PaymentProvider, PaymentToRefund } from './provider.js'

export type CreemDeps = {
  /** null: its events are taken, but it can not be asked. */
  readonly apiKey: string | null
  readonly webhookSecrets: readonly string[]
  readonly apiUrl: string | null
  /** The database's time, in ms since the epoch. */
  readonly now: () => number
  readonly log: Pick<BaseLogger, 'warn'>
  /** For one call of the API. */
  readonly timeoutMs?: number
}

/** Creem, over its HTTP API. A payment's id is that of its transaction (`tran_…`). */
export const createCreem = (config: CreemDeps): PaymentProvider => {
  const { apiKey, webhookSecrets: secrets, now, log } = config
  const client = apiKey === null ? null : createCreemClient({ ...config, apiKey })
  const reader = createCreemReader(client, now)
  const deps: CreemEventDeps = { reader, now, log }
  const isLiveByDefault = apiKey === null || !isTestKey(apiKey)
  return {
    name: 'creem',
    create: async (checkout) => createCheckout(withKey(client), checkout),
    refund: async (payment) => refund(withKey(client), deps, payment),
    verifyAndParse: (raw) => verifyCreemEvent(raw, { secrets, isLiveByDefault, nowMs: now() }),
    factsOf: (event) => factsOfCreemEvent(deps, event),
    fetch: (purchase) => fetchPurchase(deps, purchase),
    list: (sinceMs) => listCreemFacts(deps, sinceMs),
  }
}

const withKey = (client: CreemClient | null): CreemClient => {
  if (client !== null) return client
  throw new AppError('provider_refused', 'Creem can not be asked: CREEM_API_KEY is not set')
}

const createCheckout = async (client: CreemClient, checkout: NewCheckout): Promise<Checkout> => {
  const { purchaseId, accountId, packageId, priceId, email, successUrl } = checkout
  if (priceId === null) {
    throw new AppError('provider_refused', `The package ${packageId} has no product at Creem`, {
      packageId,
    })
  }
  const made = await client.post('/v1/checkouts', {
    product_id: priceId,
    request_id: purchaseId,
    units: 1,
    metadata: { purchaseId, accountId, packageId },
    ...(email !== null && { customer: { email } }),
    ...(successUrl !== null && { success_url: successUrl }),
  })
  const checkoutId = idOf(made)
  const checkoutUrl = textOf(made.checkout_url)
  if (checkoutId === null || checkoutUrl === null || !URL.canParse(checkoutUrl)) {
    throw new AppError('provider_unavailable', 'Creem made a checkout without an id or a URL')
  }
  return { checkoutId, checkoutUrl, expiresAtMs: null }
}

const fetchPurchase = async (
  deps: CreemEventDeps,
  { purchaseId, checkoutId, paymentId }: Parameters<PaymentProvider['fetch']>[0],
): Promise<readonly PaymentFact[]> => {
  const asOfMs = deps.now()
  const checkout = checkoutId === null ? null : await deps.reader.checkout(checkoutId)
  const facts = checkout ? await factsOfCheckout(deps, checkout, { createdAtMs: asOfMs }) : []
  const [told] = facts.flatMap((fact) => (fact.kind === 'checkout' ? (fact.paymentId ?? []) : []))
  const id = paymentId ?? told ?? null
  const payment = id === null ? null : await deps.reader.transaction(id)
  return [...facts, ...reversalsOf(payment, { purchaseId, hint: null, asOfMs })]
}

/**
 * Creem's API gives back what is left of a payment, or nothing. It knows no idempotency key: what
 * was given back already is seen on the transaction, and a second refund of all is refused by it.
 */
const refund = async (
  client: CreemClient,
  deps: CreemEventDeps,
  { purchaseId, paymentId, amount }: PaymentToRefund,
): Promise<readonly PaymentFact[]> => {
  const beforeMs = deps.now()
  const before = await deps.reader.transaction(paymentId)
  if (before === null) {
    throw new AppError('provider_refused', `Creem has no transaction ${paymentId}`)
  }
  const left = leftOf(before)
  const about = { purchaseId, hint: null, asOfMs: beforeMs }
  if (left === 0 || isChargedBack(before)) return reversalsOf(before, about)
  if (amount !== null && amount !== left) {
    throw new AppError(
      'provider_refused',
      `Creem refunds by its API only all that is left of a payment, here ${left}; refund a part ` +
        "in Creem's dashboard: its event takes the credits back",
      { refundable: left },
    )
  }
  const { status } = await client.post('/v1/refunds', { transaction_id: paymentId })
  if (status === 'failed' || status === 'canceled') {
    throw new AppError('provider_refused', `Creem says that the refund has ${status}`)
  }
  const asOfMs = deps.now()
  // it is done: that it can not be looked at again must not say otherwise
  const after = (await deps.reader.transaction(paymentId).catch(() => null)) ?? before
  const state = status === 'succeeded' ? 'succeeded' : 'pending'
  const sum = (amountOf(before.refunded_amount) ?? 0) + left
  return reversalsOf(after, { ...about, hint: { type: 'refund', amount: sum, state }, asOfMs })
}

const reversalsOf = (transaction: Fields | null, about: ReversalAbout): readonly PaymentFact[] => {
  const fact = transaction && reversalFactOf(transaction, about)
  return fact ? [fact] : []
}

const leftOf = (transaction: Fields): number => {
  const paid = amountOf(transaction.amount_paid) ?? amountOf(transaction.amount) ?? 0
  return Math.max(0, paid - (amountOf(transaction.refunded_amount) ?? 0))
}
