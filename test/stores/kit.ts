import { randomBytes, randomUUID } from 'node:crypto'
import pino from 'pino'
import { type OpenStores, openMemoryStores, openStores } from '../../src/stores/open.js'
import type { Revocation, Revocations } from '../../src/stores/session/revocations.js'
import type { Session, SessionId } from '../../src/stores/session/store.js'
import type { Stores } from '../../src/stores/stores.js'
import { findRedisTargets } from '../../src/stores/urls.js'
import type { TestContext } from '../helpers/database.js'
import { startRedis, startRedisCluster, until } from '../helpers/redis.js'

export const monotonicMs = (): number => performance.now()

/** What was revoked, kept for all stores that are given it, as the database keeps it. */
export const createRevocations = (
  nowMs: () => number = Date.now,
): Revocations & { readonly noted: Revocation[] } => {
  const noted: Revocation[] = []
  return {
    noted,
    async note({ tag, digest, keepMs }) {
      const before = digest === null ? untilOf(noted, tag) : null
      const one = { tag, digest, atMs: Math.max(nowMs(), (before ?? 0) + 1), leftMs: keepMs }
      noted.push(one)
      return one
    },
    async check({ tag, digest }, createdAtMs) {
      const isRevoked = noted.some((one) =>
        one.digest === null
          ? one.tag === tag && createdAtMs <= one.atMs
          : one.tag === tag && one.digest === digest,
      )
      return { isRevoked, nowMs: nowMs() }
    },
    revokedUntil: async (tag) => ({ untilMs: untilOf(noted, tag), nowMs: nowMs() }),
    readTimeMs: async () => nowMs(),
    list: async (sinceMs) => ({
      revocations: noted.filter(({ atMs }) => atMs >= sinceMs),
      next: null,
    }),
  }
}

const untilOf = (noted: readonly Revocation[], tag: string): number | null => {
  const all = noted.filter((one) => one.tag === tag && one.digest === null)
  return all.length === 0 ? null : Math.max(...all.map(({ atMs }) => atMs))
}

export type StoresSetup = {
  readonly keyPrefix?: string
  readonly revocations?: Revocations
  readonly environment?: Readonly<Record<string, string>>
  readonly log?: pino.Logger
  readonly nowMs?: () => number
  /** How long a command may take; as in production unless it is said. */
  readonly timeoutMs?: number
}

/**
 * For tests of what is answered and not of how soon: a busy machine would otherwise make Redis
 * late, and a late one counts as away. What happens then is tried in faults.test.ts.
 */
export const UNHURRIED = { timeoutMs: 2_000 } as const

/** The stores of one process over the Redis at this address; closed when the test ends. */
export const openAt = async (
  t: TestContext,
  url: string,
  setup: StoresSetup = {},
): Promise<OpenStores> => {
  const stores = openStores({
    targets: findRedisTargets({ REDIS_URL: url, ...setup.environment }),
    keyPrefix: setup.keyPrefix ?? 'test:',
    timeoutMs: setup.timeoutMs ?? 15,
    revocations: setup.revocations ?? createRevocations(),
    newId: randomUUID,
    nowMs: setup.nowMs ?? Date.now,
    monotonicMs,
    log: setup.log ?? pino({ level: 'silent' }),
  })
  t.teardown(() => stores.close())
  return stores
}

/** The same, ready for use. */
export const openReady = async (
  t: TestContext,
  url: string,
  setup: StoresSetup = {},
): Promise<OpenStores> => {
  const stores = await openAt(t, url, setup)
  await isBack(stores)
  return stores
}

/** Resolves when all of it goes to Redis again; gives how long that took, in ms. */
export const isBack = async (stores: OpenStores, timeoutMs = 10_000): Promise<number> => {
  const startedMs = monotonicMs()
  await until(async () => {
    const isUp = Object.values(stores.links).every((link) => link?.isUp() ?? true)
    if (!isUp || !stores.isSessionReady()) throw new Error('Redis has not returned')
  }, timeoutMs)
  return monotonicMs() - startedMs
}

export type Ground = {
  readonly name: string
  /** The stores as one process has them; another call, another process. */
  open(t: TestContext): Promise<Stores>
}

/** Memory, Redis and Redis Cluster: whatever the stores promise holds on each. */
export const startGrounds = async (t: TestContext): Promise<readonly Ground[]> => {
  const single = await startRedis(t)
  const cluster = await startRedisCluster(t)
  const memory = openMemoryStores({ nowMs: Date.now, monotonicMs })
  return [
    { name: 'memory', open: async () => memory },
    { name: 'Redis', open: (t) => openReady(t, single.url, UNHURRIED) },
    { name: 'Redis Cluster', open: (t) => openReady(t, cluster.url, UNHURRIED) },
  ]
}

/** A name that no other test uses. */
export const freshName = (): string => randomBytes(8).toString('hex')

/** A session that outlives the test. */
export const sessionOf = (): Session => ({
  accountId: 'a',
  isGuest: false,
  createdAtMs: Date.now(),
  idleMs: 600_000,
  endsAtMs: Date.now() + 3_600_000,
})

export const idOf = (tag = freshName()): SessionId => ({ tag, digest: freshName() })
