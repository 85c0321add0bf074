import { createBudgets, type WithinBudget } from './budget.js'
import { createMemoryCache } from './cache/memory.js'
import { createRedisCache } from './cache/redis.js'
import { createSharedCache } from './cache/shared.js'
import { VOLATILE_TTL_MS } from './cache/store.js'
import { createMemoryCounters } from './counters/memory.js'
import { createRedisCounters } from './counters/redis.js'
import { createSharedCounters } from './counters/shared.js'
import { type Link, openLink } from './link.js'
import type { StoresLog } from './log.js'
import { createPatience } from './patience.js'
import { createMemoryRateLimit } from './rate-limit/memory.js'
import { createRedisRateLimit, TAKE } from './rate-limit/redis.js'
import { createSharedRateLimit } from './rate-limit/shared.js'
import { reasonOf } from './reason.js'
import { createSessionKeeper, type SessionKeeper } from './session/keeper.js'
import { createMemorySessions } from './session/memory.js'
import { createRedisSessions } from './session/redis.js'
import type { Revocations } from './session/revocations.js'
import { CREATE, READ, REVOKE, REVOKE_ALL } from './session/scripts.js'
import { createSessionMirror, createSharedSessions } from './session/shared.js'
import type { SessionStore } from './session/store.js'
import type { Stores } from './stores.js'
import { createUnusableLink } from './unusable.js'
import { isUsable, type RedisRole, type RedisTargets } from './urls.js'

export type StoreClocks = {
  /** The time of day that sessions are kept by, in ms: the same for all processes. */
  readonly nowMs: () => number
  /** In ms, and never going back. */
  readonly monotonicMs: () => number
}

export type OpenStoresDeps = StoreClocks & {
  readonly targets: RedisTargets
  readonly keyPrefix: string
  /** How long a command may take before it is answered from elsewhere. */
  readonly timeoutMs: number
  readonly revocations: Revocations
  /** Never the same twice, by whatever process. */
  readonly newId: () => string
  readonly log: StoresLog
}

/** The connections by role; those of roles with the same target are one and the same. */
export type Links = Readonly<Record<RedisRole, Link | null>>

export type OpenStores = Stores & {
  readonly links: Links
  /** For a request that begins: what it may spend on Redis, all stores together. */
  openBudget(): WithinBudget
  /** Whether sessions are kept where all processes see them, or there is no such place. */
  isSessionReady(): boolean
  /** Resolves when each Redis has answered, or after this time; tells of those that have not. */
  settle(timeoutMs: number): Promise<void>
  close(): Promise<void>
}

/** A catalogue is a few values; that of a large shop fits as well. */
const SMALL_CACHE = { maxEntries: 1_000, maxBytes: 4_194_304, maxTtlMs: VOLATILE_TTL_MS }

/** The stores of this process alone. */
export const openMemoryStores = ({ nowMs, monotonicMs }: StoreClocks): Stores => ({
  rateLimit: createMemoryRateLimit({ nowMs: () => Math.floor(monotonicMs()) }),
  session: createMemorySessions({ nowMs }),
  cache: createMemoryCache({ nowMs: monotonicMs }),
  counters: createMemoryCounters({ nowMs: monotonicMs }),
})

/** The stores over Redis where there is one; never throws, and never waits for it. */
export const openStores = (deps: OpenStoresDeps): OpenStores => {
  const { keyPrefix, nowMs, monotonicMs } = deps
  const connections = openLinks(deps)
  const { links } = connections
  const memory = openMemoryStores(deps)
  const own = createMemoryRateLimit({ nowMs: () => Math.floor(monotonicMs()) })
  const { main, cache, session } = links
  const sessions = session && openSessions(session, deps)
  return {
    links,
    openBudget: connections.openBudget,
    rateLimit: main
      ? createSharedRateLimit({
          redis: createRedisRateLimit({ link: main, keyPrefix }),
          memory: own,
          monotonicMs,
        })
      : memory.rateLimit,
    session: sessions?.store ?? memory.session,
    cache: cache
      ? createSharedCache({
          redis: createRedisCache({ link: cache, keyPrefix }),
          memory: createMemoryCache({ nowMs: monotonicMs, ...SMALL_CACHE }),
        })
      : memory.cache,
    counters: main
      ? createSharedCounters({
          redis: createRedisCounters({ link: main, keyPrefix }),
          memory: createMemoryCounters({ nowMs }),
          link: main,
        })
      : memory.counters,
    isSessionReady: () => sessions?.isReady() ?? true,
    async settle(timeoutMs) {
      const endMs = monotonicMs() + timeoutMs
      await connections.settle(timeoutMs)
      await until(() => sessions?.isReady() ?? true, endMs - monotonicMs())
    },
    async close() {
      sessions?.stop()
      connections.close()
    },
  }
}

const openSessions = (
  link: Link,
  { keyPrefix, nowMs, newId, revocations, log }: OpenStoresDeps,
): { store: SessionStore } & SessionKeeper => {
  const redis = createRedisSessions({ link, keyPrefix })
  const shared = { redis, mirror: createSessionMirror(nowMs), revocations, nowMs }
  const keeper = createSessionKeeper({ ...shared, link, keyPrefix, newId, log })
  return { store: createSharedSessions({ ...shared, isReady: keeper.isReady }), ...keeper }
}

export type OpenLinks = {
  readonly links: Links
  /** For a request that begins: what it may spend on all of them together. */
  openBudget(): WithinBudget
  settle(timeoutMs: number): Promise<void>
  close(): void
}

export type OpenLinksDeps = Pick<
  OpenStoresDeps,
  'targets' | 'keyPrefix' | 'timeoutMs' | 'monotonicMs' | 'log'
>

/** The connections alone; never throws, and never waits for a Redis. */
export const openLinks = (deps: OpenLinksDeps): OpenLinks => {
  const { targets, keyPrefix, monotonicMs, timeoutMs, log } = deps
  const patience = createPatience(timeoutMs, { monotonicMs })
  const budgets = createBudgets(monotonicMs)
  const scripts = [TAKE, CREATE, READ, REVOKE, REVOKE_ALL]
  const open = new Map<string, Link>()
  const linkOf = (role: RedisRole): Link | null => {
    const target = targets[role]
    if (target === null) return null
    // nobody knows whether two that can not be used are the same
    const name = isUsable(target) ? JSON.stringify({ ...target, variable: '' }) : target.variable
    let link = open.get(name)
    if (link === undefined) {
      link = isUsable(target)
        ? openLink({ target, keyPrefix, scripts, patience, budgets, monotonicMs })
        : createUnusableLink(target)
      tellChanges(link, log)
      open.set(name, link)
    }
    return link
  }
  const links = { main: linkOf('main'), cache: linkOf('cache'), session: linkOf('session') }
  return {
    links,
    openBudget: budgets.open,
    settle: (timeoutMs) => settle([...open.values()], timeoutMs, log),
    close() {
      for (const link of open.values()) link.close()
    },
  }
}

const tellChanges = (link: Link, log: StoresLog): void =>
  link.onChange((isUp) => {
    const { variable } = link.target
    if (isUp) log.info({ variable }, `Redis is there (${variable})`)
    else tellAway(link, log)
  })

const tellAway = (link: Link, log: StoresLog): void => {
  const trouble = link.trouble()
  if (trouble === null) return
  const { variable } = link.target
  const reason = reasonOf(trouble)
  log.warn({ variable, reason }, `Redis is away (${variable}): ${reason}; served without it`)
}

const POLL_MS = 5

const settle = async (all: readonly Link[], timeoutMs: number, log: StoresLog): Promise<void> => {
  await until(() => all.every((link) => link.isUp()), timeoutMs)
  for (const link of all) tellAway(link, log)
}

const until = async (isSo: () => boolean, timeoutMs: number): Promise<void> => {
  for (let waitedMs = 0; waitedMs < timeoutMs && !isSo(); waitedMs += POLL_MS) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}
