import { setTimeout as sleep } from 'node:timers/promises'
import { type BoundedMap, createBoundedMap } from '../bounded-map.js'
import { RedisAwayError } from '../link.js'
import { expiryAfter } from './memory.js'
import type { OneRevocation, RedisSessions } from './redis.js'
import type { Revocation, RevocationPage, Revocations } from './revocations.js'
import {
  LATE_MS,
  type LiveSession,
  MAX_IDLE_MS,
  type Session,
  type SessionId,
  type SessionStore,
  SessionsAwayError,
} from './store.js'
import { createTagIndex } from './tag-index.js'

export type Mirrored = { readonly id: SessionId; readonly live: LiveSession }

/** What this process knows of the sessions that it has seen. */
export type SessionMirror = {
  readonly seen: Pick<BoundedMap<Mirrored>, 'get' | 'peek' | 'delete' | 'keys'>
  see(id: SessionId, live: LiveSession): void
  /** Of the sessions seen of an account. */
  digestsOf(tag: string): readonly string[]
  /** What was revoked here, by the key of the session. */
  readonly revoked: BoundedMap<true>
}

export type SharedSessionDeps = {
  readonly redis: RedisSessions
  /** Whether Redis may be asked: it is there, and knows what was revoked meanwhile. */
  readonly isReady: () => boolean
  readonly mirror: SessionMirror
  readonly revocations: Revocations
  readonly nowMs: () => number
}

/** Some 600 bytes each. */
const MAX_MIRRORED = 50_000

export const createSessionMirror = (nowMs: () => number): SessionMirror => {
  const tags = createTagIndex()
  const seen = createBoundedMap<Mirrored>({
    maxEntries: MAX_MIRRORED,
    nowMs,
    onRemove: ({ id }) => tags.remove(id),
  })
  return {
    seen,
    see(id, live) {
      seen.set(keyOf(id), { id, live }, live.expiresAtMs)
      tags.add(id)
    },
    digestsOf: tags.digestsOf,
    revoked: createBoundedMap({ maxEntries: MAX_MIRRORED, nowMs }),
  }
}

/**
 * Sessions in Redis, and what this process has seen of them in its memory: while Redis is away,
 * those seen here go on, and new ones live here. What is revoked is noted durably first, and what
 * was noted is never taken for live again.
 */
export const createSharedSessions = (deps: SharedSessionDeps): SessionStore => {
  const { redis, isReady, mirror } = deps
  const remember = (id: SessionId, live: LiveSession): LiveSession => {
    mirror.see(id, live)
    return live
  }
  /** Undefined: nothing can be said without Redis. */
  const there = async <T>(act: () => Promise<T>): Promise<T | undefined> => {
    if (!isReady()) return undefined
    try {
      return await act()
    } catch (error) {
      if (error instanceof RedisAwayError) return undefined
      throw error
    }
  }
  const here = createHere(deps)
  const find = async (id: SessionId, ask: RedisSessions['read'], prolongs: boolean) => {
    if (mirror.revoked.peek(keyOf(id))) return null
    const live = await there(() => ask(id))
    if (live === undefined) return here.find(id, prolongs)
    if (live !== null) return remember(id, live)
    // known here and unknown there: revoked elsewhere, or lost with what Redis held
    const mine = await here.recall(id)
    if (mine === null) return null
    const isBack = await there(() => redis.restore(id, mine))
    if (isBack === false) {
      here.forget(keyOf(id))
      return null
    }
    const again = isBack && (await there(() => ask(id)))
    return again === undefined ? here.find(id, prolongs) : again
  }
  return {
    async create(id, session) {
      const live = await there(() => redis.create(id, session))
      return remember(id, live ?? (await here.begin(id, session)))
    },
    read: (id) => find(id, redis.read, false),
    touch: (id) => find(id, redis.touch, true),
    async revoke(id) {
      const { revocation, wasSeen } = await here.revoke(id)
      return (await there(() => redis.revoke(revocation))) ?? wasSeen
    },
    async revokeAll(tag) {
      const { atMs, seen } = await here.revokeAll(tag)
      return (await there(() => redis.revokeAll(tag, atMs))) ?? seen
    },
  }
}

/** What can be said and done without Redis. */
const createHere = ({ mirror, revocations, nowMs }: SharedSessionDeps) => {
  /** The session as last seen here, unless it was revoked anywhere. */
  const recall = async (id: SessionId): Promise<LiveSession | null> => {
    const mine = mirror.seen.get(keyOf(id))
    if (mine === undefined) return null
    if (!(await revocations.isRevoked(id, mine.live.createdAtMs))) return mine.live
    mirror.seen.delete(keyOf(id))
    mirror.revoked.set(keyOf(id), true, nowMs() + MAX_IDLE_MS)
    return null
  }
  const forget = (key: string): boolean => {
    mirror.revoked.set(key, true, nowMs() + MAX_IDLE_MS)
    return mirror.seen.delete(key)
  }
  return {
    recall,
    forget,
    /** A new one counts as newer than all that were revoked, whatever clock it began by. */
    async begin({ tag }: SessionId, session: Session): Promise<LiveSession> {
      const untilMs = (await revocations.revokedUntil(tag)) ?? Number.NEGATIVE_INFINITY
      const createdAtMs = Math.max(session.createdAtMs, untilMs + 1)
      return { ...session, createdAtMs, expiresAtMs: expiryAfter(session, nowMs()) }
    },
    async find(id: SessionId, prolongs: boolean): Promise<LiveSession | null> {
      const live = await recall(id)
      if (live === null) {
        if (mirror.revoked.peek(keyOf(id))) return null
        throw new SessionsAwayError()
      }
      if (!prolongs) return live
      const prolonged = { ...live, expiresAtMs: expiryAfter(live, nowMs()) }
      mirror.see(id, prolonged)
      return prolonged
    },
    async revoke(id: SessionId): Promise<{ revocation: OneRevocation; wasSeen: boolean }> {
      const atMs = nowMs()
      const idleMs = mirror.seen.peek(keyOf(id))?.live.idleMs ?? MAX_IDLE_MS
      const revocation = { ...id, atMs, untilMs: atMs + idleMs + LATE_MS }
      await revocations.note(revocation)
      return { revocation, wasSeen: forget(keyOf(id)) }
    },
    async revokeAll(tag: string): Promise<{ atMs: number; seen: number }> {
      const untilMs = nowMs() + MAX_IDLE_MS + LATE_MS
      const atMs = await revocations.note({ tag, digest: null, atMs: nowMs(), untilMs })
      // Redis may not know of it yet: one created after this call must be newer all the same
      if (nowMs() <= atMs) await sleep(1)
      const keys = mirror.digestsOf(tag).map((digest) => keyOf({ tag, digest }))
      return { atMs, seen: keys.filter(forget).length }
    },
  }
}

const keyOf = ({ tag, digest }: SessionId): string => `${tag} ${digest}`

/** Asked for again, lest one is missed whose transaction was under way the last time. */
const OVERLAP_MS = 10_000
/** A bound on one replay, far above the sessions of a service: a page takes a few ms. */
const MAX_PAGES = 2_000
/** Told in one round trip: few enough that no request waits long behind them. */
const CROWD = 100

export type Replay = {
  /** Tells Redis what was revoked since the last time, or all there is. */
  run(isWhole: boolean): Promise<void>
}

export const createReplay = ({ redis, revocations, nowMs }: SharedSessionDeps): Replay => {
  const applied = createBoundedMap<true>({ maxEntries: MAX_MIRRORED, nowMs })
  const nameOf = ({ tag, digest, atMs }: Revocation) => `${tag} ${digest ?? ''} ${atMs}`
  let lastMs = 0
  return {
    async run(isWhole) {
      const startedMs = nowMs()
      const sinceMs = isWhole ? 0 : lastMs - OVERLAP_MS
      let next: Promise<RevocationPage> | null = revocations.list(sinceMs, null)
      for (let page = 0; page < MAX_PAGES && next !== null; page += 1) {
        const found: RevocationPage = await next
        // read while Redis is told of those before
        next = found.next === null ? null : revocations.list(sinceMs, found.next)
        next?.catch(() => {})
        const fresh = found.revocations.filter((one) => isWhole || !applied.peek(nameOf(one)))
        await inCrowds(fresh, redis.apply)
        for (const one of fresh) applied.set(nameOf(one), true, startedMs + 2 * OVERLAP_MS)
      }
      lastMs = startedMs
    },
  }
}

/** Puts back what this process has seen, as far as Redis has lost it. */
export const restoreAll = async ({ redis, mirror }: SharedSessionDeps): Promise<void> => {
  const all = mirror.seen.keys().flatMap((key) => mirror.seen.peek(key) ?? [])
  await inCrowds(all, async (crowd) => {
    const areBack = await redis.carryOver(crowd)
    for (const [index, { id }] of crowd.entries()) {
      if (!areBack[index]) mirror.seen.delete(keyOf(id))
    }
  })
}

const inCrowds = async <T>(
  items: readonly T[],
  act: (crowd: readonly T[]) => Promise<void>,
): Promise<void> => {
  for (let i = 0; i < items.length; i += CROWD) await act(items.slice(i, i + CROWD))
}
