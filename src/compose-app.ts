import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { findKey } from './admin/api-keys.js'
import { createAuditReader } from './admin/audit-reader.js'
import { createAuditRetention } from './admin/audit-retention.js'
import { type AuditWriter, createAuditWriter } from './admin/audit-writer.js'
import { createKeys } from './admin/keys.js'
import type { Admin } from './admin/routes.js'
import { buildApp } from './app.js'
import type { Core } from './compose.js'
import { composeAlerts } from './compose-alerts.js'
import { composeEvents } from './compose-events.js'
import { type ComposedPlans, composePlans } from './compose-plans.js'
import { composeProviderReconcile } from './compose-provider-reconcile.js'
import { composePurchases } from './compose-purchases.js'
import { composeReconcile } from './compose-reconcile.js'
import { type ComposedSessions, composeRevocations, composeSessions } from './compose-sessions.js'
import { type ComposedStores, composeStores, storeCollectors } from './compose-stores.js'
import { composeWebhooks } from './compose-webhooks.js'
import { type Credits, type CreditsDeps, createCredits } from './credits/credits.js'
import { createCatalogue } from './credits/prices/catalogue.js'
import { createPriceStore } from './credits/prices/store.js'
import { type Check, createHealth, type Health } from './health/service.js'
import { type Authenticator, createAuthenticator } from './http/auth.js'
import { createIdempotencyRecords, type IdempotencyRecords } from './http/idempotency.js'
import type { Metrics } from './http/metrics.js'
import { createOnce } from './http/once.js'
import type { RateLimitDeps } from './http/rate-limits.js'
import type { App } from './http/route.js'
import type { HttpDeps } from './http/server.js'
import { canonicalJson, digestOf } from './ledger/ids.js'
import { createLimits } from './limits/service.js'
import { distinct } from './stores/redis-health.js'
import type { Stores } from './stores/stores.js'

export type AppOptions = {
  readonly metrics: Metrics
  readonly version: string
  /** Whether the service has been told to stop: then it is not ready for new callers. */
  readonly isStopping: () => boolean
}

export type ComposedApp = {
  readonly app: App
  /** Answers what was accepted and writes what waits; what is below stays open. */
  close(): Promise<void>
}

/** Everything above the core: the features' services, the routes over them, and their jobs. */
export const composeApp = async (core: Core, options: AppOptions): Promise<ComposedApp> => {
  const { config, now } = core
  const { metrics, version } = options
  const audit = composeAudit(core)
  const stores = await composeStores({ ...core, revocations: composeRevocations(core) })
  const sessions = composeSessions(core, stores.session)
  const authenticator = composeAuthenticator(core, stores)
  const records = composeRecords(core)
  const digest = (...values: readonly unknown[]) => digestOf(...values.map(canonicalJson))
  const reconcile = composeReconcile(core, metrics)
  metrics.collect(storeCollectors(stores))
  composeAlerts(core, metrics)
  const events = composeEvents(core, { metrics, audit })
  const plans = composePlans(core, { payeeOf: sessions.payeeOf })
  const credits = composeCredits(core, audit, {
    cache: stores.cache,
    onClosed: sessions.sessions.revokeAll,
    rolloverOf: plans.rolloverOf,
  })
  addJobs(core, records)
  const app = await buildApp({
    http: { ...composeHttp(core, stores, metrics), authenticator, audit, version },
    once: createOnce({ records, digest }),
    credits,
    ...composePayments(core, { metrics, credits, plans, payeeOf: sessions.payeeOf }),
    plans,
    sessions,
    events,
    admin: { ...composeAdmin(core, authenticator, audit), reconcile },
    health: composeHealth(core, stores, options),
    limits: createLimits({ store: stores.rateLimit, policies: config.limits.policies, now }),
  })
  return { app, close: closeOf(app, audit, stores) }
}

type PaymentDeps = {
  readonly metrics: Metrics
  readonly credits: Credits
  readonly plans: ComposedPlans
  readonly payeeOf: ComposedSessions['payeeOf']
}

/** What is sold, and what providers tell: by their events, and by night when they are asked. */
const composePayments = (core: Core, { metrics, credits, plans, payeeOf }: PaymentDeps) => {
  const purchases = composePurchases(core, {
    payeeOf,
    emailOf: async (accountId) => (await credits.accounts.get(accountId)).email,
  })
  const { providers } = purchases
  const takers = { purchases: purchases.takeFact, plans: plans.takeFact }
  composeProviderReconcile(core, { takers, providers })
  return { purchases, inbox: composeWebhooks(core, { metrics, takers, providers }) }
}

const closeOf = (app: App, audit: AuditWriter, stores: ComposedStores) => async () => {
  await app.close()
  await audit.close()
  await stores.close()
}

const composeHttp = (
  core: Core,
  stores: ComposedStores,
  metrics: Metrics,
): Omit<HttpDeps, 'authenticator' | 'audit' | 'version'> => ({
  logger: core.log,
  metrics,
  limits: composeLimits(core, stores, metrics),
  trustProxy: core.config.http.trustProxy,
  serializer: core.config.hasStrictReplies ? 'strict' : 'fast',
  requestTimeoutMs: core.config.http.requestTimeoutMs,
  openBudget: distinct(stores.links).length === 0 ? null : stores.openBudget,
  creditSystem: core.config.features.creditSystem,
  requestIdPrefix: core.instanceId.slice(0, 8),
})

const composeLimits = ({ config }: Core, stores: Stores, metrics: Metrics): RateLimitDeps => ({
  ...config.limits,
  store: stores.rateLimit,
  note: metrics.noteLimit,
  nowMs: () => performance.now(),
})

const composeAuthenticator = ({ db, config, now }: Core, { session }: Stores): Authenticator =>
  createAuthenticator({
    findKey: (digest) => findKey(db.readOrm, digest),
    touchSession: session.touch,
    configuredKey: config.apiKey,
    now,
  })

const composeRecords = ({ db, config, now, newId }: Core): IdempotencyRecords =>
  createIdempotencyRecords({
    orm: db.orm,
    now,
    newId,
    sleep,
    ttlMs: config.idempotencyTtlSeconds * 1000,
  })

const composeCredits = (
  core: Core,
  audit: AuditWriter,
  beside: Pick<CreditsDeps, 'cache' | 'onClosed' | 'rolloverOf'>,
): Credits =>
  createCredits({
    ...core,
    orm: core.db.orm,
    readOrm: core.db.readOrm,
    catalogue: createCatalogue({
      store: createPriceStore(core.db),
      now: () => performance.now(),
      sleep,
    }),
    audit,
    signupBonus: core.config.signupBonusCredits,
    flags: core.config.features.creditSystem,
    ...beside,
    onDefect: (error, requestId) => core.log.error({ err: error, requestId }, 'operation failed'),
  })

const composeAudit = ({ db, log, newId, now }: Core): AuditWriter =>
  createAuditWriter({
    orm: db.orm,
    newId,
    now,
    onTrouble: ({ error, lost }) =>
      log.warn({ err: error, lost }, 'the audit log can not be written for now'),
  })

const composeAdmin = (
  core: Core,
  authenticator: Authenticator,
  audit: AuditWriter,
): Omit<Admin, 'reconcile'> => ({
  keys: createKeys({
    ...core,
    randomBytes,
    prefix: core.config.apiKeyPrefix,
    hasConfiguredKey: core.config.apiKey !== null,
    forget: authenticator.forget,
  }),
  audit: createAuditReader({ orm: core.db.readOrm, now: core.now, flush: audit.flush }),
})

const composeHealth = (
  core: Core,
  { reports, links }: ComposedStores,
  { version, isStopping }: AppOptions,
): Health =>
  createHealth({
    checks: [
      { name: 'database', isVital: true, probe: () => core.db.pool.query('select 1') },
      ...(distinct(links).length === 0 ? [] : [redisCheck(reports)]),
    ],
    redis: reports,
    version,
    rollbackMode: core.config.features.creditSystem.rollbackMode,
    isStopping,
    monotonicMs: () => performance.now(),
  })

const redisCheck = ({ checkHealth }: ComposedStores['reports']): Check => ({
  name: 'redis',
  isVital: false,
  async probe() {
    const { connected } = await checkHealth()
    if (!connected) throw new Error('Redis is away')
  },
})

const addJobs = ({ jobs, log, now, db, config }: Core, records: IdempotencyRecords): void => {
  const deleteOldEntries = createAuditRetention({
    orm: db.orm,
    now,
    keptDays: config.auditRetentionDays,
  })
  jobs.add({
    name: 'audit.cleanup',
    cron: '29 3 * * *',
    timeoutMs: 10 * 60_000,
    async run(signal) {
      const outcome = `${await deleteOldEntries(signal)} entries of the audit log deleted`
      log.info(outcome)
      return outcome
    },
  })
  jobs.add({
    name: 'idempotency.cleanup',
    cron: '23 3 * * *',
    timeoutMs: 10 * 60_000,
    async run() {
      const outcome = `${await records.cleanUp(now())} idempotency records deleted`
      log.info(outcome)
      return outcome
    },
  })
}
