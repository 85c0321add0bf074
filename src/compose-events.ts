import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Core } from './compose.js'
import { createDeliveries } from './events/deliveries.js'
import { createDispatch } from './events/dispatch.js'
import { createEndpoints } from './events/endpoints.js'
import { createExpiring } from './events/expiring.js'
import { createFeed } from './events/feed.js'
import { createPost } from './events/post.js'
import { createRelay } from './events/relay.js'
import { createResolve, resolveByMachine } from './events/resolve.js'
import { createEventRetention } from './events/retention.js'
import type { EventServices } from './events/routes.js'
import { createUndelivered, type Undelivered } from './events/undelivered.js'
import type { AuditSink } from './http/audit.js'
import { toFailure } from './http/failure.js'
import type { Collector, Metrics } from './http/metrics.js'

/** Of one endpoint in one instance: with all endpoints there can be, some 200 connections. */
const PER_ENDPOINT = 10

export type ComposeEventsDeps = { readonly metrics: Metrics; readonly audit: AuditSink }

/** What tells others of what happened: the feed, the webhooks, and the jobs behind them. */
export const composeEvents = (core: Core, { metrics, audit }: ComposeEventsDeps): EventServices => {
  const { db, now, newId } = core
  const target = { allowPrivate: core.config.events.allowPrivate }
  const undelivered = createUndelivered({ db, now })
  metrics.collect(collectorsOf(undelivered))
  addJobs(core, audit)
  return {
    feed: createFeed({ db }),
    endpoints: createEndpoints({ db, newId, randomBytes, now, target }),
    undelivered,
  }
}

const addJobs = (core: Core, audit: AuditSink): void => {
  const { db, now, config, jobs } = core
  const relay = createRelay({ db, now })
  const dispatch = createDispatch(dispatchDeps(core, audit))
  const prune = createEventRetention({ db, now, keptDays: config.events.retentionDays })
  const tellExpiring = createExpiring({ db, now })
  jobs.add({
    name: 'events.relay',
    cron: '* * * * * *',
    timeoutMs: 60_000,
    once: 'all',
    run: patiently(async (signal) => `${await relay(signal)} events placed`),
  })
  jobs.add({
    name: 'events.deliver',
    cron: '* * * * * *',
    timeoutMs: 60_000,
    once: 'all',
    run: patiently(async (signal) => `${await dispatch(signal)} events delivered`),
  })
  jobs.add({
    name: 'events.expiring',
    cron: '7 * * * *',
    timeoutMs: 10 * 60_000,
    run: async (signal) => `${await tellExpiring(signal)} lots that expire soon`,
  })
  jobs.add({
    name: 'events.prune',
    cron: '53 * * * *',
    timeoutMs: 10 * 60_000,
    run: async (signal) => `${await prune(signal)} old events deleted`,
  })
}

type Run = (signal: AbortSignal) => Promise<string>

/** While the database is away, which others tell of, no line is logged every second. */
const patiently =
  (run: Run): Run =>
  async (signal) => {
    try {
      return await run(signal)
    } catch (error) {
      const { code, message } = toFailure(error)
      if (code !== 'database_unavailable') throw error
      return `put off: ${message}`
    }
  }

const dispatchDeps = ({ db, now, config, log }: Core, audit: AuditSink) => {
  const { allowPrivate } = config.events
  const resolve = allowPrivate ? resolveByMachine : createResolve()
  return {
    deliveries: createDeliveries({ db, perEndpoint: PER_ENDPOINT }),
    post: createPost({ resolve, allowPrivate, now }),
    now,
    monotonicMs: () => performance.now(),
    sleep,
    random: Math.random,
    onSwitchedOff: ({ endpointId, reason }: { endpointId: string; reason: string }) => {
      log.warn({ endpointId, reason }, 'a webhook endpoint was switched off')
      audit.record({
        accountId: null,
        action: 'webhook_endpoint_disable',
        status: 'success',
        actor: 'system',
        requestId: 'events.deliver',
        errorCode: null,
        errorMessage: null,
        metadata: { endpointId, reason },
      })
    },
  }
}

const collectorsOf = (undelivered: Undelivered): readonly Collector[] => [
  {
    name: 'creditd_events_undelivered',
    help: 'Events that wait to be sent to webhook endpoints, 1,000 each at most',
    read: undelivered.count,
  },
  {
    name: 'creditd_events_undelivered_oldest_seconds',
    help: 'Age of the oldest event that waits to be sent to a webhook endpoint; 0 without any',
    read: async () => (await undelivered.oldestMs()) / 1_000,
  },
  {
    name: 'creditd_events_unplaced_oldest_seconds',
    help: 'Age of the oldest event that waits for its place in the feed; 0 without any',
    read: async () => (await undelivered.unplacedMs()) / 1_000,
  },
]
