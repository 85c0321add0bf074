import { setTimeout as sleep } from 'node:timers/promises'
import { type BoundedMap, createBoundedMap } from '../bounded-map.js'
import { RedisAwayError } from '../link.js'
import { expiryAfter } from './memory.js'
import type { OneRevocation, RedisSessions } from './redis.js'
import type { Revocations } from './revocations.js'
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
  /** For how long, never for when: it may be far from the clocks of others. */
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
      // whoever reads it asks the database what time it is
      seen.set(sessionKeyOf(id), { id, live }, nowMs() + live.idleMs)
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
    if (mirror.revoked.peek(sessionKeyOf(id))) return null
    const live = await there(() => ask(id))
    if (live === undefined) return here.find(id, prolongs)
    if (live !== null) return remember(id, live)
    // known here and unknown there: revoked elsewhere, or lost with what Redis held
    const mine = await here.recall(id)
    if (mine === null) return null
    const isBack = await there(() => redis.restore(id, mine))
    if (isBack === false) {
      here.forget(sessionKeyOf(id))
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
  /** The session as last seen here, and when it is asked for, unless it has ended anywhere. */
  const look = async (id: SessionId): Promise<{ live: LiveSession; atMs: number } | null> => {
    const mine = mirror.seen.get(sessionKeyOf(id))
    if (mine === undefined) return null
    const { isRevoked, nowMs: atMs } = await revocations.check(id, mine.live.createdAtMs)
    if (isRevoked) forget(sessionKeyOf(id))
    else if (mine.live.expiresAtMs > atMs) return { live: mine.live, atMs }
    else mirror.seen.delete(sessionKeyOf(id))
    return null
  }
  const forget = (key: string): boolean => {
    mirror.revoked.set(key, true, nowMs() + MAX_IDLE_MS)
    return mirror.seen.delete(key)
  }
  return {
    recall: async (id: SessionId): Promise<LiveSession | null> => (await look(id))?.live ?? null,
    forget,
    /** A new one counts as newer than all that were revoked, whatever clock it began by. */
    async begin({ tag }: SessionId, session: Session): Promise<LiveSession> {
      const { untilMs, nowMs: atMs } = await revocations.revokedUntil(tag)
      const createdAtMs = Math.max(Math.min(session.createdAtMs, atMs), (untilMs ?? -1) + 1)
      return { ...session, createdAtMs, expiresAtMs: expiryAfter(session, atMs) }
    },
    async find(id: SessionId, prolongs: boolean): Promise<LiveSession | null> {
      const found = await look(id)
      if (found === null) {
        if (mirror.revoked.peek(sessionKeyOf(id))) return null
        throw new SessionsAwayError()
      }
      const { live, atMs } = found
      if (!prolongs) return live
      const prolonged = { ...live, expiresAtMs: expiryAfter(live, atMs) }
      mirror.see(id, prolonged)
      return prolonged
    },
    async revoke(id: SessionId): Promise<{ revocation: OneRevocation; wasSeen: boolean }> {
      const idleMs = mirror.seen.peek(sessionKeyOf(id))?.live.idleMs ?? MAX_IDLE_MS
      const noted = await revocations.note({ ...id, keepMs: idleMs + LATE_MS })
      return { revocation: { ...noted, digest: id.digest }, wasSeen: forget(sessionKeyOf(id)) }
    },
    async revokeAll(tag: string): Promise<{ atMs: number; seen: number }> {
      const { atMs } = await revocations.note({ tag, digest: null, keepMs: MAX_IDLE_MS + LATE_MS })
      // Redis may not know of it yet: one created after this call must be newer all the same
      if (nowMs() <= atMs) await sleep(1)
      const keys = mirror.digestsOf(tag).map((digest) => sessionKeyOf({ tag, digest }))
      return { atMs, seen: keys.filter(forget).length }
    },
  }
}

export const sessionKeyOf = ({ tag, digest }: SessionId): string => `${tag} ${digest}`
