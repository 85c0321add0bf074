import type { BaseLogger } from 'pino'
import { AppError } from '../../errors.js'
import type { PaymentFact } from '../../payment-facts.js'
import type { PaymentProvider, PaymentToRefund } from './provider.js'
import { createCheckout, readCheckout, readPayment } from './stripe-checkouts.js'
import { createAskStripe, type StripeSettings } from './stripe-client.js'
import { readFacts, type StripeDeps } from './stripe-events.js'
import { listFacts } from './stripe-list.js'
import { readReversals } from './stripe-reversals.js'
import { readStripeEvent } from './stripe-signature.js'

export type StripeProviderDeps = StripeSettings & {
  /** Any of them may sign events. */
  readonly webhookSecrets: readonly string[]
  /** The database's time, in ms since the epoch. */
  readonly now: () => number
  readonly log: Pick<BaseLogger, 'warn'>
}

/** Stripe, through its own SDK. Amounts and states are read from it, never from its events. */
export function createStripe(config: StripeProviderDeps): PaymentProvider {
  const { now, log, webhookSecrets } = config
  const deps: StripeDeps = { ask: createAskStripe(config), now, log }
  const { ask } = deps
  return {
    name: 'stripe',
    create: (checkout) => createCheckout(ask, checkout),
    refund: (payment) => refund(deps, payment),
    verifyAndParse: (raw) => readStripeEvent(raw, webhookSecrets, now()),
    factsOf: (event) => readFacts(deps, event),
    async fetch({ checkoutId, paymentId }) {
      const fact = await readEither(deps, checkoutId, paymentId)
      const paid = paymentId ?? fact?.paymentId ?? null
      const reversals =
        paid !== null && isPayment(paid) ? await readReversals(ask, paid, now) : null
      return [fact, reversals].filter((one) => one !== null)
    },
    list: (sinceMs) => listFacts(deps, sinceMs),
  }
}

/** Whether the key is for real money; null: it does not say. */
export function isLiveStripeKey(apiKey: string | null): boolean | null {
  if (apiKey === null) return null
  if (apiKey.includes('_live_')) return true
  return apiKey.includes('_test_') ? false : null
}

async function readEither(
  { ask }: StripeDeps,
  checkoutId: string | null,
  paymentId: string | null,
) {
  if (checkoutId !== null) return readCheckout(ask, checkoutId)
  return paymentId === null ? null : readPayment(ask, paymentId)
}

/** A checkout that cost nothing goes by its own id. */
const isPayment = (paymentId: string): boolean => paymentId.startsWith('pi_')

async function refund(
  { ask, now }: StripeDeps,
  { purchaseId, paymentId, amount, key }: PaymentToRefund,
): Promise<readonly PaymentFact[]> {
  if (!isPayment(paymentId)) {
    throw new AppError('provider_refused', 'Nothing was paid, so nothing can be given back')
  }
  await ask((api) =>
    api.refunds.create(
      {
        payment_intent: paymentId,
        metadata: { purchaseId },
        ...(amount !== null && { amount }),
      },
      { idempotencyKey: key },
    ),
  )
  try {
    const fact = await readReversals(ask, paymentId, now)
    return fact === null ? [] : [fact]
  } catch {
    // it is asked for, and its events will tell what became of it
    return []
  }
}
