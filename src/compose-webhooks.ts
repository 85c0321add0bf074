import type { Core } from './compose.js'
import type { Collector, Metrics } from './http/metrics.js'
import type {
  CheckoutFact,
  ProviderName,
  ReversalFact,
  SubscriptionFact,
  SubscriptionPaidFact,
  TakeFact,
} from './payment-facts.js'
import { createInbox, type Inbox, type WebhookSource } from './purchases/inbox/service.js'
import { createInboxStore, type InboxStore } from './purchases/inbox/store.js'
import { isTestKey } from './purchases/providers/creem-client.js'
import type { PaymentProvider } from './purchases/providers/provider.js'
import { isLiveStripeKey } from './purchases/providers/stripe.js'

/** Who acts on what providers tell. */
export type FactTakers = {
  readonly purchases: TakeFact<CheckoutFact | ReversalFact>
  readonly plans: TakeFact<SubscriptionFact | SubscriptionPaidFact>
}

export type ComposeWebhooksDeps = {
  readonly metrics: Metrics
  readonly providers: { readonly byName: ReadonlyMap<ProviderName, PaymentProvider> }
  readonly takers: FactTakers
}

/** The inbox of providers' events, and its jobs. */
export const composeWebhooks = (core: Core, deps: ComposeWebhooksDeps): Inbox => {
  const { db, now, newId, log } = core
  const store = createInboxStore({ orm: db.orm, now, newId })
  const sources = sourcesOf(core, deps.providers.byName)
  const inbox = createInbox({ store, sources, takeFact: takeEither(deps.takers), now, log })
  addJobs(core, inbox, store)
  deps.metrics.collect(collectorsOf(store))
  return inbox
}

/** Sends each fact to who acts on it. */
export const takeEither =
  ({ purchases, plans }: FactTakers): TakeFact =>
  (fact) =>
    fact.kind === 'checkout' || fact.kind === 'reversal' ? purchases(fact) : plans(fact)

const sourcesOf = (
  { config: { payments } }: Core,
  providers: ComposeWebhooksDeps['providers']['byName'],
): ReadonlyMap<ProviderName, WebhookSource> => {
  const { stripe, creem } = payments
  const modes = [
    ['stripe', stripe, isLiveStripeKey(stripe.apiKey)],
    ['creem', creem, creem.apiKey === null ? null : !isTestKey(creem.apiKey)],
  ] as const
  const sources = modes.flatMap(([name, { webhookSecrets }, isLive]) => {
    const provider = providers.get(name)
    return provider && webhookSecrets.length > 0 ? [[name, { provider, isLive }] as const] : []
  })
  return new Map(sources)
}

const addJobs = ({ jobs, log }: Core, inbox: Inbox, store: InboxStore): void => {
  jobs.add({
    name: 'webhooks.inbox',
    cron: '*/5 * * * * *',
    timeoutMs: 60_000,
    once: 'all',
    run: async (signal) => `${await inbox.work(signal)} events of payments worked on`,
  })
  jobs.add({
    name: 'webhooks.cleanup',
    cron: '37 3 * * *',
    timeoutMs: 10 * 60_000,
    async run(signal) {
      const outcome = `${await store.prune(signal)} events of payments deleted`
      log.info(outcome)
      return outcome
    },
  })
}

const collectorsOf = (store: InboxStore): readonly Collector[] => [
  {
    name: 'creditd_webhook_inbox_waiting',
    help: "Providers' events that are still to be worked on",
    read: async () => (await store.figures()).waiting,
  },
  {
    name: 'creditd_webhook_inbox_oldest_seconds',
    help: 'Age of the oldest of them; 0 without any',
    read: async () => (await store.figures()).oldestMs / 1000,
  },
  {
    name: 'creditd_webhook_inbox_dead',
    help: "Providers' events that nobody will try again before an operator has looked",
    read: async () => (await store.figures()).dead,
  },
]
