import type { AppError } from '../errors.js'
import type { AccountState, Hold, JsonObject, Lot, Row } from './model.js'
import type { OutboxEvent } from './outbox.js'

/** A row that a refund or claw-back refers to, with what was taken back of it so far. */
export type ChargeContext = {
  readonly row: Row
  /** Of a charge what was refunded; of a grant what was clawed back and not reinstated. */
  readonly refunded: number
  /** What became of the grant that the row made; null when it made none. */
  readonly past: GrantPast | null
}

export type GrantPast = {
  /** What claw-backs of the grant took from the account, as credits or debt, and did not return. */
  readonly taken: number
  /** The part of `taken` that came from the grant itself. */
  readonly takenFromGrant: number
  /** What left the grant unused: it expired or was revoked. */
  readonly lapsed: number
}

/** What a decision may need beside the account's state, loaded with it. */
export type Context = {
  /** By the seq of the charge, or of a grant's first row. */
  readonly charges: ReadonlyMap<number, ChargeContext>
  /** Holds that are no longer active, by their seq. */
  readonly settledHolds: ReadonlyMap<number, Hold>
  /** Lots that the charges or a revocation refer to, by their seq; a live lot in the state wins. */
  readonly lots: ReadonlyMap<number, Lot>
}

/** Also of a claw-back: `chargeSeq` is then the grant, and what is reinstated counts negative. */
export type RefundWrite = {
  readonly chargeSeq: number
  readonly refundSeq: number
  readonly amount: number
}

/** Work that must follow in another account; a job finishes it under a key made from the fact. */
export type PendingWork = {
  readonly id: string
  readonly kind: string
  readonly payload: JsonObject
}

/** What one operation writes to one account. Lots and holds are given as they are afterwards. */
export type Changes = {
  readonly rows: readonly Row[]
  readonly lots: readonly Lot[]
  readonly holds: readonly Hold[]
  readonly refunds: readonly RefundWrite[]
  readonly pending: readonly PendingWork[]
  readonly events: readonly OutboxEvent[]
}

export type Decision =
  | { readonly isApplied: true; readonly state: AccountState; readonly changes: Changes }
  | { readonly isApplied: false; readonly error: AppError }
