import { createBoundedMap } from '../bounded-map.js'
import {
  type LiveSession,
  MAX_SESSIONS_PER_TAG,
  type Session,
  type SessionId,
  type SessionStore,
} from './store.js'

/** Some 500 bytes each. */
const MAX_SESSIONS = 100_000

export type MemorySessionDeps = {
  readonly nowMs: () => number
  readonly maxSessions?: number
}

type Kept = { readonly session: Session; readonly id: SessionId; expiresAtMs: number }

/** The sessions of this process alone; beyond the limit, those used longest ago end. */
export const createMemorySessions = (deps: MemorySessionDeps): SessionStore => {
  const { nowMs, maxSessions = MAX_SESSIONS } = deps
  const byTag = new Map<string, Set<string>>()
  const forget = ({ tag, digest }: SessionId): void => {
    const digests = byTag.get(tag)
    digests?.delete(digest)
    if (digests?.size === 0) byTag.delete(tag)
  }
  const kept = createBoundedMap<Kept>({
    maxEntries: maxSessions,
    nowMs,
    onRemove: ({ id }) => forget(id),
  })
  const keep = (entry: Kept): LiveSession => {
    kept.set(keyOf(entry.id), entry, entry.expiresAtMs)
    const digests = byTag.get(entry.id.tag) ?? new Set<string>()
    byTag.set(entry.id.tag, digests.add(entry.id.digest))
    return { ...entry.session, expiresAtMs: entry.expiresAtMs }
  }
  const makeRoom = (tag: string): void => {
    const digests = byTag.get(tag)
    if (digests === undefined || digests.size < MAX_SESSIONS_PER_TAG) return
    const all = [...digests].map((digest) => kept.peek(keyOf({ tag, digest })))
    const first = all.reduce((a, b) => (expiryOf(b) < expiryOf(a) ? b : a))
    if (first !== undefined) kept.delete(keyOf(first.id))
  }
  return {
    async create(id, session) {
      makeRoom(id.tag)
      return keep({ id, session, expiresAtMs: expiryAfter(session, nowMs()) })
    },
    async read(id) {
      const entry = kept.get(keyOf(id))
      return entry === undefined ? null : { ...entry.session, expiresAtMs: entry.expiresAtMs }
    },
    async touch(id) {
      const entry = kept.get(keyOf(id))
      if (entry === undefined) return null
      return keep({ ...entry, expiresAtMs: expiryAfter(entry.session, nowMs()) })
    },
    async revoke(id) {
      return kept.delete(keyOf(id))
    },
    async revokeAll(tag) {
      const digests = [...(byTag.get(tag) ?? [])]
      return digests.filter((digest) => kept.delete(keyOf({ tag, digest }))).length
    },
  }
}

const keyOf = ({ tag, digest }: SessionId): string => `${tag} ${digest}`

const expiryOf = (entry: Kept | undefined): number => entry?.expiresAtMs ?? Infinity

/** When a session that is used now expires. */
export const expiryAfter = ({ idleMs, endsAtMs }: Session, now: number): number =>
  Math.min(now + idleMs, endsAtMs)
