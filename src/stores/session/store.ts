export type Session = {
  readonly accountId: string
  readonly isGuest: boolean
  readonly createdAtMs: number
  /** How much longer it lives each time it is used. */
  readonly idleMs: number
  /** It ends then, however much it is used. */
  readonly endsAtMs: number
}

export type LiveSession = Session & { readonly expiresAtMs: number }

/** Where a session is kept: all sessions of an account have the same tag, so that one command gets at
 * them on a cluster too. Both are made from the token; neither gives it away. */
export type SessionId = {
  /** Made from the account id. */
  readonly tag: string
  /** SHA-256 of the token. */
  readonly digest: string
}

/**
 * Keeps sessions until they expire. A session that was revoked never comes back, whatever is under
 * way at the same time. Times are the store's own clock's.
 */
export type SessionStore = {
  /** Keeps a new session; gives when it expires unless it is used. */
  create(id: SessionId, session: Session): Promise<LiveSession>
  /** The session without prolonging it; null: unknown, expired or revoked. */
  read(id: SessionId): Promise<LiveSession | null>
  /** The session, prolonged by its idle time up to its end; null as in `read`. */
  touch(id: SessionId): Promise<LiveSession | null>
  /** Ends it; whether it was there. */
  revoke(id: SessionId): Promise<boolean>
  /** Ends all with this tag; how many there were. */
  revokeAll(tag: string): Promise<number>
}
