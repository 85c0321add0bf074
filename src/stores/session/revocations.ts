import type { SessionId } from './store.js'

export type Revocation = {
  readonly tag: string
  /** Of one session; null: of all with this tag that were created until `atMs`. */
  readonly digest: string | null
  readonly atMs: number
  /** What it ended would have expired by then anyway: it may be forgotten. */
  readonly untilMs: number
}

export type RevocationPage = {
  readonly revocations: readonly Revocation[]
  /** Where the next page begins; null: there is none. */
  readonly next: string | null
}

/**
 * Revocations that outlive the store of the sessions, shared by all processes: what was revoked
 * stays so while that store is away, and when it returns with what it knew before. All times are of
 * one clock, the same for all processes.
 */
export type Revocations = {
  /**
   * Durable once it resolves; safe to repeat. Gives the `atMs` that counts: for all with a tag,
   * later than that of the time before, so that it ends what was moved past that one.
   */
  note(revocation: Revocation): Promise<number>
  /** Whether a session made at that time has been revoked. */
  isRevoked(id: SessionId, createdAtMs: number): Promise<boolean>
  /** All with this tag that were created until then have been revoked; null: none were. */
  revokedUntil(tag: string): Promise<number | null>
  /**
   * Those noted with `atMs` at or after `sinceMs` and not to be forgotten yet, in a stable order
   * and at most 500 a page; `after` is the `next` of the page before, null for the first.
   */
  list(sinceMs: number, after: string | null): Promise<RevocationPage>
}
