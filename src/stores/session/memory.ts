import { createBoundedMap } from '../bounded-map.js'
import {
  type LiveSession,
  MAX_SESSIONS_PER_TAG,
  type Session,
  type SessionId,
  type SessionStore,
} from './store.js'
import { createTagIndex } from './tag-index.js'

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
  const tags = createTagIndex()
  const kept = createBoundedMap<Kept>({
    maxEntries: maxSessions,
    nowMs,
    onRemove: ({ id }) => tags.remove(id),
  })
  const keep = (entry: Kept): LiveSession => {
    kept.set(keyOf(entry.id), entry, entry.expiresAtMs)
    tags.add(entry.id)
    return { ...entry.session, expiresAtMs: entry.expiresAtMs }
  }
  const makeRoom = (tag: string): void => {
    const digests = tags.digestsOf(tag)
    if (digests.length < MAX_SESSIONS_PER_TAG) return
    const all = digests.map((digest) => kept.peek(keyOf({ tag, digest })))
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
      return tags.digestsOf(tag).filter((digest) => kept.delete(keyOf({ tag, digest }))).length
    },
  }
}

const keyOf = ({ tag, digest }: SessionId): string => `${tag} ${digest}`

const expiryOf = (entry: Kept | undefined): number => entry?.expiresAtMs ?? Infinity

/** When a session that is used now expires. */
export const expiryAfter = ({ idleMs, endsAtMs }: Session, now: number): number =>
  Math.min(now + idleMs, endsAtMs)
