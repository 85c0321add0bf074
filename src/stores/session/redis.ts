import assert from 'node:assert/strict'
import type { RedisClient } from '../connection.js'
import type { Link } from '../link.js'
import { runScript } from '../script.js'
import type { Revocation } from './revocations.js'
import { CREATE, READ, REVOKE, REVOKE_ALL } from './scripts.js'
import {
  LATE_MS,
  type LiveSession,
  MAX_IDLE_MS,
  MAX_SESSIONS_PER_TAG,
  type Session,
  type SessionId,
  type SessionStore,
} from './store.js'

export type OneRevocation = Revocation & { readonly digest: string }

export type RedisSessions = Omit<SessionStore, 'revoke' | 'revokeAll'> & {
  /** Ends one, for good; whether it was there. */
  revoke(revocation: OneRevocation): Promise<boolean>
  /** Ends all with this tag, and for good those created until then; how many there were. */
  revokeAll(tag: string, atMs: number): Promise<number>
  /**
   * Puts a session back as it was where it is missing, or would expire sooner. False: it was
   * revoked, or had to make room.
   */
  restore(id: SessionId, live: LiveSession): Promise<boolean>
  /** The same beside requests, also while Redis is away. */
  carryOver(id: SessionId, live: LiveSession): Promise<boolean>
  /** Sees to it that what was revoked is gone and stays so; also while Redis is away. */
  apply(revocation: Revocation): Promise<void>
}

export type RedisSessionDeps = {
  readonly link: Link
  readonly keyPrefix: string
}

/** Nobody waits for these, but they must end. */
const RECOVERY_TIMEOUT_MS = 2_000

/** The sessions that all processes share. */
export const createRedisSessions = (deps: RedisSessionDeps): RedisSessions => {
  const { link, keyPrefix } = deps
  const keyOf = (tag: string) => `${keyPrefix}se:{${tag}}`
  const create = async (client: RedisClient, id: SessionId, session: Session, atMs: number) => {
    const reply = await runScript(client, CREATE, keyOf(id.tag), [
      id.digest,
      atMs,
      session.idleMs,
      session.endsAtMs,
      session.createdAtMs,
      `${session.isGuest ? 1 : 0} ${session.accountId}`,
      MAX_SESSIONS_PER_TAG,
    ])
    const [expiresAtMs, createdAtMs] = reply as [number, number]
    return { expiresAtMs, createdAtMs }
  }
  const putBack =
    (id: SessionId, { expiresAtMs, ...session }: LiveSession) =>
    async (client: RedisClient): Promise<boolean> =>
      (await create(client, id, session, expiresAtMs)).expiresAtMs !== 0
  const read = ({ tag, digest }: SessionId, prolongs: 0 | 1) =>
    link.run(async (client) =>
      parseSession(await runScript(client, READ, keyOf(tag), [digest, prolongs])),
    )
  const revoke = (client: RedisClient, { tag, digest, atMs, untilMs }: OneRevocation) =>
    runScript(client, REVOKE, keyOf(tag), [digest, atMs, untilMs, LATE_MS])
  const revokeAll = (client: RedisClient, { tag, atMs, untilMs }: Revocation, also: 0 | 1) =>
    runScript(client, REVOKE_ALL, keyOf(tag), [atMs, untilMs, also])
  return {
    async create(id, session) {
      const times = await link.run((client) => create(client, id, session, 0))
      assert(times.expiresAtMs !== 0, 'a new session has the token of one that was revoked')
      return { ...session, ...times }
    },
    read: (id) => read(id, 0),
    touch: (id) => read(id, 1),
    revoke: async (one) => (await link.run((client) => revoke(client, one))) === 1,
    async revokeAll(tag, atMs) {
      const revocation = { tag, digest: null, atMs, untilMs: atMs + MAX_IDLE_MS }
      return Number(await link.run((client) => revokeAll(client, revocation, 1)))
    },
    restore: (id, live) => link.run(putBack(id, live)),
    carryOver: (id, live) => link.attempt(putBack(id, live), RECOVERY_TIMEOUT_MS),
    async apply(revocation) {
      const { digest } = revocation
      const act = (client: RedisClient) =>
        digest === null
          ? revokeAll(client, revocation, 0)
          : revoke(client, { ...revocation, digest })
      await link.attempt(act, RECOVERY_TIMEOUT_MS)
    },
  }
}

const parseSession = (reply: unknown): LiveSession | null => {
  const match = /^(\d+) (\d+) (\d+) (\d+) ([01]) (.*)$/s.exec(String(reply ?? ''))
  if (match === null) return null
  const [, expiresAt, idle, ends, created, guest, accountId = ''] = match
  return {
    accountId,
    isGuest: guest === '1',
    createdAtMs: Number(created),
    idleMs: Number(idle),
    endsAtMs: Number(ends),
    expiresAtMs: Number(expiresAt),
  }
}
