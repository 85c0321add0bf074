import type { Core } from './compose.js'
import type { CheckoutFact, ProviderName, ReversalFact, TakeFact } from './payment-facts.js'
import { createBeginCheckout } from './purchases/checkout.js'
import { createTakeFact } from './purchases/facts.js'
import { createPackages } from './purchases/packages/service.js'
import { createCreem } from './purchases/providers/creem.js'
import { createManual } from './purchases/providers/manual.js'
import type { PaymentProvider } from './purchases/providers/provider.js'
import { createStripe } from './purchases/providers/stripe.js'
import { createReversalStore } from './purchases/reversals.js'
import type { PurchaseRoutesDeps } from './purchases/routes.js'
import type { Providers } from './purchases/sellers.js'
import { createPurchases } from './purchases/service.js'
import { createSettle } from './purchases/settle.js'
import { createPurchaseStore, type PurchaseStore } from './purchases/store.js'
import { createPurchaseUpkeep } from './purchases/upkeep.js'

export type PurchasesBeside = {
  /** Who is given the credits that were bought for an account. */
  readonly payeeOf: (accountId: string) => Promise<string>
  readonly emailOf: (accountId: string) => Promise<string | null>
}

export type ComposedPurchases = Pick<PurchaseRoutesDeps, 'packages' | 'purchases'> & {
  readonly takeFact: TakeFact<CheckoutFact | ReversalFact>
  readonly providers: Providers
}

/** An operator's command has no jobs that would run. */
export type PurchasesCore = Pick<Core, 'config' | 'db' | 'ledger' | 'log' | 'newId' | 'now'> & {
  readonly jobs: Pick<Core['jobs'], 'add'>
}

/** What is sold, through whom, and what becomes of the payments; with its job. */
export const composePurchases = (
  core: PurchasesCore,
  beside: PurchasesBeside,
): ComposedPurchases => {
  const { ledger, db, config, now, newId } = core
  const store = createPurchaseStore({ db, now })
  const reversals = createReversalStore({ db, now })
  const packages = createPackages({ db, now })
  const rules = { disputeFreezesAccount: config.payments.disputeFreezesAccount }
  const settle = createSettle({ store, reversals, ledger, rules, now, payeeOf: beside.payeeOf })
  const takeFact = createTakeFact({ store, reversals, settle, now })
  const manual = createManual({ store, reversals, now })
  const providers = composeProviders(core, manual)
  const beginCheckout = createBeginCheckout({
    ...{ store, packages, ledger, providers, now, newId },
    flags: config.features.creditSystem,
    emailOf: beside.emailOf,
    keyTtlMs: config.idempotencyTtlSeconds * 1000,
  })
  const { payeeOf } = beside
  const purchases = createPurchases({
    ...{ store, reversals, ledger, providers, beginCheckout, takeFact, payeeOf, newId },
  })
  addJob(core, { store, settle, takeFact, providers })
  return { packages, purchases, takeFact, providers }
}

/** A new provider is one line here. */
const composeProviders = (
  { config, now, log }: PurchasesCore,
  manual: PaymentProvider,
): Providers => {
  const { stripe, creem } = config.payments
  const configured: readonly Configured[] = [
    [manual, true],
    ...ifConfigured(stripe, () => createStripe({ ...stripe, now, log })),
    ...ifConfigured(creem, () => createCreem({ ...creem, now, log })),
  ]
  return {
    byName: new Map(configured.map(([provider]) => [provider.name, provider])),
    sellers: configured.flatMap(([{ name }, isSeller]): ProviderName[] => (isSeller ? [name] : [])),
  }
}

type Configured = readonly [PaymentProvider, isSeller: boolean]
type Settings = Core['config']['payments']['stripe']

/** With secrets alone its events are taken, and nothing is sold through it. */
const ifConfigured = (
  { apiKey, webhookSecrets }: Settings,
  create: () => PaymentProvider,
): readonly Configured[] =>
  apiKey === null && webhookSecrets.length === 0 ? [] : [[create(), apiKey !== null]]

type JobDeps = {
  readonly store: PurchaseStore
  readonly settle: ReturnType<typeof createSettle>
  readonly takeFact: TakeFact<CheckoutFact | ReversalFact>
  readonly providers: Providers
}

const addJob = ({ jobs, log, now }: PurchasesCore, deps: JobDeps): void => {
  const finish = createPurchaseUpkeep({
    ...deps,
    now,
    onFault: (error, purchaseId) =>
      log.warn({ err: error, purchaseId }, 'a purchase will be looked at again'),
  })
  jobs.add({
    name: 'purchases.finish',
    cron: '* * * * *',
    timeoutMs: 50_000,
    run: async (signal) => `${await finish(signal)} purchases looked at`,
  })
}
