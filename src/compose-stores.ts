import { randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { Logger } from 'pino'
import type { Config } from './config.js'
import type { Collector } from './http/metrics.js'
import { keepCommandCount } from './stores/command-count.js'
import { type OpenStores, openStores } from './stores/open.js'
import { createRedisReports, distinct, type RedisReports } from './stores/redis-health.js'
import type { Revocations } from './stores/session/revocations.js'
import { REDIS_ROLES } from './stores/urls.js'

/** A start does not wait longer to find Redis well. */
const SETTLE_MS = 100

export type ComposeStoresDeps = {
  readonly config: Pick<Config, 'redis'>
  readonly log: Logger
  /** The database's time, in ms since the epoch. */
  readonly now: () => number
  readonly revocations: Revocations
}

export type ComposedStores = OpenStores & {
  readonly reports: RedisReports
  /** What Redis may use where it has no limit of its own. */
  readonly budgetBytes: number
}

/** The stores of short-lived state; with or without Redis, they are there. */
export const composeStores = async (deps: ComposeStoresDeps): Promise<ComposedStores> => {
  const { config, log, now: nowMs, revocations } = deps
  const clocks = { nowMs, monotonicMs: () => performance.now() }
  const stores = openStores({ ...config.redis, ...clocks, revocations, newId: randomUUID, log })
  const links = distinct(stores.links)
  if (links.length === 0) {
    log.info('Redis not configured: limits, sessions and cache live in this process alone')
  }
  const counts = links.map((link) => keepCommandCount({ ...config.redis, link, nowMs }))
  await stores.settle(SETTLE_MS)
  return {
    ...stores,
    budgetBytes: config.redis.budget.bytes,
    reports: createRedisReports({ ...config.redis, ...clocks, links: stores.links }),
    async close() {
      for (const stop of counts) stop()
      await stores.close()
    },
  }
}

/** How Redis is and what does without it, for those who watch. */
export const storeCollectors = (stores: ComposedStores): readonly Collector[] => [
  ...roleCollectors(stores),
  ...totalCollectors(stores),
  {
    name: 'creditd_store_fallback',
    help: 'Whether a store is served without its Redis, by its name: 1 or 0',
    labels: ['store'],
    read: () => {
      const { main, cache, session } = stores.links
      const isAway = {
        rate_limit: main !== null && !main.isUp(),
        session: session !== null && !stores.isSessionReady(),
        cache: cache !== null && !cache.isUp(),
        counters: main !== null && !main.isUp(),
      }
      return Object.entries(isAway).map(([store, isOn]) => ({
        labels: { store },
        value: isOn ? 1 : 0,
      }))
    },
  },
]

const roleCollectors = ({ links }: ComposedStores): readonly Collector[] => {
  const byRole = (figureOf: (link: ReturnType<typeof distinct>[number]) => number) =>
    REDIS_ROLES.flatMap((role) => {
      const link = links[role]
      return link === null ? [] : [{ labels: { role }, value: figureOf(link) }]
    })
  const labels = ['role']
  return [
    {
      name: 'creditd_redis_up',
      help: 'Whether the Redis of the role is in use: 1 or 0; none where it is not configured',
      labels,
      read: () => byRole((link) => (link.isUp() ? 1 : 0)),
    },
    {
      name: 'creditd_redis_latency_seconds',
      help: 'Time of one command, the newest counting most',
      labels,
      read: () => byRole((link) => (link.figures().latencyMs ?? 0) / 1_000),
    },
    {
      name: 'creditd_redis_error_ratio',
      help: 'Share of the commands of the last five minutes that failed',
      labels,
      read: () => byRole((link) => link.figures().errorRate),
    },
  ]
}

const totalCollectors = ({ links, reports, budgetBytes }: ComposedStores): readonly Collector[] => {
  const sum = (name: 'commands' | 'errors' | 'openings') =>
    distinct(links).reduce((total, link) => total + link.figures()[name], 0)
  return [
    {
      kind: 'counter',
      name: 'creditd_redis_commands_total',
      help: 'Commands sent to Redis on behalf of requests',
      read: () => sum('commands'),
    },
    {
      kind: 'counter',
      name: 'creditd_redis_errors_total',
      help: 'Commands that failed or had no answer in time',
      read: () => sum('errors'),
    },
    {
      kind: 'counter',
      name: 'creditd_redis_losses_total',
      help: 'Times that a Redis was given up for a while',
      read: () => sum('openings'),
    },
    {
      name: 'creditd_redis_memory_ratio',
      help: 'Share of its memory that Redis uses, of its own limit or else of the budget',
      async read() {
        const { memory } = await reports.checkHealth()
        if (memory === null) return []
        return [{ labels: {}, value: memory.usedBytes / (memory.maxBytes ?? budgetBytes) }]
      },
    },
  ]
}
