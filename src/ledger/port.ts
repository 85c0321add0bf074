import type { Changes, ChargeContext } from './decision.js'
import type { AccountState, Hold, Lot, Row } from './model.js'

/** What the lanes need to know before they can decide. */
export type LoadRequest = {
  readonly accounts: readonly string[]
  /** Keys whose rows, if any, answer a repeat. */
  readonly keys: readonly { readonly accountId: string; readonly key: string }[]
  readonly charges: readonly AccountPart[]
  readonly holds: readonly AccountPart[]
  readonly lots: readonly AccountPart[]
}

/** A row, hold or grant of an account, by its seq. */
export type AccountPart = { readonly accountId: string; readonly seq: number }

/** All of one snapshot. */
export type LoadReply = {
  readonly epoch: string
  readonly nowMs: number
  readonly accounts: readonly AccountState[]
  readonly rows: readonly Row[]
  readonly charges: readonly ChargeContext[]
  readonly holds: readonly { readonly accountId: string; readonly hold: Hold }[]
  readonly lots: readonly { readonly accountId: string; readonly lot: Lot }[]
}

/** One account's part of a batch. With `base` equal to the version it is proven and not written. */
export type AccountWrite = {
  /** The version the decisions were based on; 0: the account is opened here. */
  readonly base: number
  /** The seq before: grants and holds above it are new. */
  readonly baseSeq: number
  readonly state: AccountState
  readonly changes: Changes
}

export type Batch = {
  readonly epoch: string
  readonly nowMs: number
  /** In the order of the account ids. */
  readonly accounts: readonly AccountWrite[]
  /** Keys that must not have been used. */
  readonly keys: readonly { readonly accountId: string; readonly key: string }[]
}

export type RefusalReason = 'moved' | 'busy' | 'key'

export type AppendReply = {
  readonly status: 'ok' | 'epoch' | 'gate' | 'clock'
  readonly nowMs: number
  readonly refused: ReadonlyMap<string, RefusalReason>
}

/**
 * How a call to the database failed.
 * - retry: it certainly did nothing and may go again (serialization, deadlock, starting up).
 * - unknown: it may have been done (the connection or the reply was lost).
 * - unavailable: it did nothing and repeating soon won't help (read-only, disk full, no server).
 * - data: something in it can not be stored (classes 22 and 23); nothing of it was.
 * - failed: it did nothing for a reason that lies in no single operation (a missing function, a
 *   broken disk): splitting the batch would only repeat it.
 * - locked: a row stayed locked by somebody else for longer than allowed; nothing was done.
 */
export type FailureKind = 'retry' | 'unknown' | 'unavailable' | 'data' | 'failed' | 'locked'

export class PortError extends Error {
  readonly kind: FailureKind

  constructor(kind: FailureKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'PortError'
    this.kind = kind
  }
}

/** The ledger's database, as the lanes see it. Every call ends within a bounded time. */
export type LedgerPort = {
  load(request: LoadRequest): Promise<LoadReply>
  append(batch: Batch): Promise<AppendReply>
  /** Raises the versions under the row locks: an append still on its way can only be refused. */
  fence(accountIds: readonly string[]): Promise<void>
  /**
   * Load, decide and append under the account's row lock, in one transaction. `decide` gives null
   * when nothing is to be written.
   */
  alone(
    request: LoadRequest,
    decide: (loaded: LoadReply) => Batch | null,
  ): Promise<AppendReply | null>
}
