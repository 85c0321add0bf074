import type { SessionId } from './store.js'

export type Revocation = {
  readonly tag: string
  /** Of one session; null: of all with this tag that were created until `atMs`. */
  readonly digest: string | null
  readonly atMs: number
  /** After so long what it ended would have expired anyway, and it may be forgotten. */
  readonly leftMs: number
}

/** What is to be noted: when it was is for the clock of those who note it to say. */
export type Revoking = Pick<Revocation, 'tag' | 'digest'> & { readonly keepMs: number }

export type RevocationPage = {
  readonly revocations: readonly Revocation[]
  /** Where the next page begins; null: there is none. */
  readonly next: string | null
}

/**
 * Revocations that outlive the store of the sessions, shared by all processes: what was revoked
 * stays so while that store is away, and when it returns with what it knew before. All times are of
 * one clock, that of the database, however wrong those of the processes are.
 */
export type Revocations = {
  /**
   * Durable once it resolves; safe to repeat. Its `atMs` is now: for all with a tag, later than
   * that of the time before, so that it ends what was moved past that one.
   */
  note(revoking: Revoking): Promise<Revocation>
  /** Whether a session made at that time has been revoked, and what time it is. */
  check(id: SessionId, createdAtMs: number): Promise<{ isRevoked: boolean; nowMs: number }>
  /**
   * All with this tag that were created until `untilMs` have been revoked, null: none were; and
   * what time it is.
   */
  revokedUntil(tag: string): Promise<{ untilMs: number | null; nowMs: number }>
  /** What time it is. */
  readTimeMs(): Promise<number>
  /**
   * Those noted at or after `sinceMs` and not to be forgotten yet, in the order in which they were
   * noted, at most 500 a page; `after` is the `next` of the page before, null for the first.
   */
  list(sinceMs: number, after: string | null): Promise<RevocationPage>
}
