import assert from 'node:assert/strict'
import type { RedisClient } from '../connection.js'
import type { Link } from '../link.js'
import { runScript, runScripts, type ScriptRun } from '../script.js'
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
  /** The same of many, beside requests, also while Redis is away. */
  carryOver(sessions: readonly Carried[]): Promise<readonly boolean[]>
  /** Sees to it that what was revoked is gone and stays so; also while Redis is away. */
  apply(revocations: readonly Revocation[]): Promise<void>
}

export type Carried = { readonly id: SessionId; readonly live: LiveSession }

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
  const creation = (id: SessionId, session: Session, atMs: number): ScriptRun => ({
    script: CREATE,
    key: keyOf(id.tag),
    args: [
      id.digest,
      atMs,
      session.idleMs,
      session.endsAtMs,
      session.createdAtMs,
      `${session.isGuest ? 1 : 0} ${session.accountId}`,
      MAX_SESSIONS_PER_TAG,
    ],
  })
  const putBack = ({ id, live }: Carried) => creation(id, live, live.expiresAtMs)
  const read = ({ tag, digest }: SessionId, prolongs: 0 | 1) =>
    link.run(async (client) =>
      parseSession(await runScript(client, READ, keyOf(tag), [digest, prolongs])),
    )
  const revocation = ({ tag, digest, atMs, leftMs }: Revocation, also: 0 | 1): ScriptRun =>
    digest === null
      ? { script: REVOKE_ALL, key: keyOf(tag), args: [atMs, leftMs, also] }
      : { script: REVOKE, key: keyOf(tag), args: [digest, atMs, leftMs, LATE_MS] }
  const run = ({ script, key, args }: ScriptRun) =>
    link.run((client) => runScript(client, script, key, args))
  return {
    async create(id, session) {
      const times = timesOf(await run(creation(id, session, 0)))
      assert(times.expiresAtMs !== 0, 'a new session has the token of one that was revoked')
      return { ...session, ...times }
    },
    read: (id) => read(id, 0),
    touch: (id) => read(id, 1),
    revoke: async (one) => (await run(revocation(one, 0))) === 1,
    async revokeAll(tag, atMs) {
      return Number(await run(revocation({ tag, digest: null, atMs, leftMs: MAX_IDLE_MS }, 1)))
    },
    restore: async (id, live) => isThere(await run(putBack({ id, live }))),
    async carryOver(sessions) {
      const runs = sessions.map(putBack)
      const act = (client: RedisClient) => runScripts(client, runs)
      return (await link.attempt(act, RECOVERY_TIMEOUT_MS)).map(isThere)
    },
    async apply(revocations) {
      const runs = revocations.map((one) => revocation(one, 0))
      await link.attempt((client) => runScripts(client, runs), RECOVERY_TIMEOUT_MS)
    },
  }
}

const isThere = (reply: unknown): boolean => timesOf(reply).expiresAtMs !== 0

const timesOf = (reply: unknown): { expiresAtMs: number; createdAtMs: number } => {
  const [expiresAtMs, createdAtMs] = reply as [number, number]
  return { expiresAtMs, createdAtMs }
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
