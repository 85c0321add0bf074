import type { AccountState, Operation, Outcome } from './model.js'

/** The one door through which credits move. */
export type Ledger = {
  /**
   * Applies one operation, durably, exactly once under its key. Throws AppError for a refusal
   * (then nothing happened) and `outcome_unknown` when the database could not tell in time (then
   * the same key asks again). Safe to repeat with the same key and digest.
   */
  submit(operation: Operation): Promise<Outcome>
  /** What `submit` would answer now; writes nothing and takes no key. Throws as it would. */
  preview(operation: Operation): Promise<Outcome>
  /** The account as of now, with what is due already gone; null when it was never opened. */
  read(accountId: string): Promise<AccountState | null>
  /** The database's time, as far as it is known here, in ms since the epoch. */
  now(): number
  /** Work in hand, for metrics and back-pressure. */
  stats(): LedgerStats
  /** Refuses new operations, finishes those accepted. */
  close(): Promise<void>
}

export type LedgerStats = {
  readonly queued: number
  readonly inFlight: number
  readonly cachedAccounts: number
}
