export type Session = {
  readonly accountId: string
  readonly isGuest: boolean
  readonly createdAtMs: number
  /** How much longer it lives each time it is used; 1,000 to `MAX_IDLE_MS`. */
  readonly idleMs: number
  /** It ends then, however much it is used. */
  readonly endsAtMs: number
}

export type LiveSession = Session & { readonly expiresAtMs: number }

/**
 * Where a session is kept: all sessions of an account have the same tag, so that one command gets
 * at them on a cluster too. Both are made from secrets or ids, and give neither away.
 */
export type SessionId = {
  /** Made from the account id; 1 to 64 letters, digits, - or _. */
  readonly tag: string
  /** SHA-256 of the token; 1 to 64 letters, digits, - or _. */
  readonly digest: string
}

/** Revocations are remembered for as long as a session could live without being used. */
export const MAX_IDLE_MS = 86_400_000

/** For a use that was under way when the session was revoked, and for clocks that differ. */
export const LATE_MS = 60_000

/** Most sessions of an account at once: beyond it, the one that expires first ends. */
export const MAX_SESSIONS_PER_TAG = 1_000

/**
 * Keeps sessions until they expire. A session that was revoked never comes back, whatever is under
 * way at the same time. Where sessions are shared between processes and their store is away,
 * `read` and `touch` throw SessionsAwayError for a session that this process has not seen.
 */
export type SessionStore = {
  /**
   * Keeps a new session; gives when it expires unless it is used. It lives although all with its
   * tag were ended at or after its `createdAtMs`, which is then moved past that.
   */
  create(id: SessionId, session: Session): Promise<LiveSession>
  /** The session without prolonging it; null: unknown, expired or revoked. */
  read(id: SessionId): Promise<LiveSession | null>
  /** The session, prolonged by its idle time up to its end; null as in `read`. */
  touch(id: SessionId): Promise<LiveSession | null>
  /** Ends it; whether it was there, as far as is known. Safe to repeat. */
  revoke(id: SessionId): Promise<boolean>
  /** Ends all with this tag; how many there were, as far as is known. Safe to repeat. */
  revokeAll(tag: string): Promise<number>
}

/** Whether there is such a session can not be told for now; the same call may succeed later. */
export class SessionsAwayError extends Error {
  constructor() {
    super('the sessions can not be reached for now')
    this.name = 'SessionsAwayError'
  }
}
