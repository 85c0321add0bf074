import { AppError, accountNotFound } from '../errors.js'
import { isoOf } from '../http/schema.js'
import { newSessionToken, sessionIdOf, sessionTag } from '../http/session-token.js'
import { digestOf, newKey } from '../ledger/ids.js'
import type { Ledger } from '../ledger/ledger.js'
import type { LiveSession, SessionStore } from '../stores/session/store.js'
import type { Guests } from './guests.js'
import type { NewSession, SessionView } from './schema.js'

/** Of 128 random bits: nobody meets another's by chance, nor by trying. */
const GUEST_ID_BYTES = 16

export type SessionTimes = {
  /** How long a user's session lives unused. */
  readonly idleMs: number
  readonly guestIdleMs: number
  /** How long any session lives, however much it is used. */
  readonly maxMs: number
}

export type SessionsDeps = {
  readonly store: SessionStore
  readonly guests: Guests
  readonly ledger: Pick<Ledger, 'read' | 'submit'>
  readonly times: SessionTimes
  /** Cryptographically random. */
  readonly randomBytes: (size: number) => Buffer
  /** Ms since the epoch, of the clock that the store keeps. */
  readonly now: () => number
}

export type SessionCaller = { readonly actor: string; readonly requestId: string }

export type Sessions = {
  /**
   * Begins a session of an account; its token is in the answer and nowhere else. A frozen account
   * may have one: it can look, and the ledger refuses what it can't do. Throws `account_not_found`,
   * `account_closed`, and `already_converted` for a guest who has become a user.
   */
  create(accountId: string): Promise<NewSession>
  /** Opens an account of its own for a guest, without a signup bonus, and begins its session. */
  createGuest(caller: SessionCaller): Promise<NewSession>
  /** Throws `unauthenticated` for a session that has ended. */
  current(token: string): Promise<SessionView>
  /** The live session of a token that is not the caller's credential; null: there is none. */
  find(token: string): Promise<LiveSession | null>
  /**
   * Ends one session, everywhere: at once, or within seconds in other instances where this one can
   * not reach Redis. How many there were. Safe to repeat.
   */
  revoke(token: string): Promise<number>
  /**
   * Ends all sessions of an account, as `revoke` ends one; how many there were. Throws
   * `account_not_found`. Safe to repeat.
   */
  revokeOf(accountId: string): Promise<number>
  /** The same of an account that may not be there any more, or not yet. */
  revokeAll(accountId: string): Promise<number>
}

export function createSessions(deps: SessionsDeps): Sessions {
  const { store, guests, ledger, times, now } = deps

  async function begin(accountId: string, isGuest: boolean): Promise<NewSession> {
    const token = newSessionToken(accountId, deps.randomBytes)
    const createdAtMs = now()
    const idleMs = Math.min(isGuest ? times.guestIdleMs : times.idleMs, times.maxMs)
    const endsAtMs = createdAtMs + times.maxMs
    const session = { accountId, isGuest, createdAtMs, idleMs, endsAtMs }
    return { token, ...viewOf(await store.create(idOf(token), session)) }
  }

  const revokeAll = (accountId: string) => store.revokeAll(sessionTag(accountId))

  return {
    async create(accountId) {
      const state = await ledger.read(accountId)
      if (state === null) throw accountNotFound(accountId)
      const guest = await guests.get(accountId)
      if (state.status === 'closed') throw new AppError('account_closed', 'The account is closed')
      if (guest !== null && guest.convertedTo !== null) {
        const detail = 'The guest has become a user; its account closes when its holds are settled'
        throw new AppError('already_converted', detail)
      }
      // the job that closes guests' accounts leaves it alone while this session can last
      if (guest !== null) await guests.postpone(guest, now() + times.maxMs)
      return begin(accountId, guest !== null)
    },

    async createGuest({ actor, requestId }) {
      const accountId = `guest_${deps.randomBytes(GUEST_ID_BYTES).toString('base64url')}`
      // known before it is there: what a crash leaves behind, the job finds
      await guests.add(accountId, now() + times.maxMs)
      const request = { accountId, key: newKey(), digest: digestOf('guest'), metadata: null }
      await ledger.submit({ ...request, actor, requestId, kind: 'open', signupBonus: 0 })
      return begin(accountId, true)
    },

    async current(token) {
      const session = await store.read(idOf(token))
      if (session === null) {
        throw new AppError('unauthenticated', 'The session is unknown, expired or revoked')
      }
      return viewOf(session)
    },

    async find(token) {
      const id = sessionIdOf(token)
      return id === null ? null : store.read(id)
    },

    revoke: async (token) => ((await store.revoke(idOf(token))) ? 1 : 0),
    async revokeOf(accountId) {
      if ((await ledger.read(accountId)) === null) throw accountNotFound(accountId)
      return revokeAll(accountId)
    },

    revokeAll,
  }
}

function idOf(token: string) {
  const id = sessionIdOf(token)
  if (id === null) throw new AppError('unauthenticated', 'This is no token of a session')
  return id
}

const viewOf = ({ accountId, isGuest, expiresAtMs, endsAtMs }: LiveSession): SessionView => ({
  accountId,
  guest: isGuest,
  expiresAt: isoOf(expiresAtMs),
  endsAt: isoOf(endsAtMs),
})
