import type { AppError } from '../errors.js'

/** Where credits come from; also the buckets that a balance is shown by. */
export const GRANT_SOURCES = ['monthly', 'bonus', 'purchased'] as const
export type GrantSource = (typeof GRANT_SOURCES)[number]

export type AccountStatus = 'active' | 'frozen' | 'closed'
export type HoldStatus = 'active' | 'captured' | 'released' | 'expired'

/** The kinds of ledger rows. Holds, releases, extensions and hold expiries have amount 0. */
export const TRANSACTION_TYPES = [
  'charge',
  'grant',
  'refund',
  'hold',
  'capture',
  'release',
  'extend',
  'hold_expire',
  'expire',
  'adjustment',
  'revoke',
  'transfer_out',
  'transfer_in',
  'transfer_return',
  'debt_payment',
] as const
export type TransactionType = (typeof TRANSACTION_TYPES)[number]

/** A grant as the rules see it. `grantSeq`, its id in the account, is the seq of its first row. */
export type Lot = {
  readonly grantSeq: number
  readonly source: GrantSource
  readonly amount: number
  /** What is left, held credits included. */
  readonly remaining: number
  /** The part of `remaining` that active holds have reserved. */
  readonly held: number
  /** Smaller pays first. */
  readonly priority: number
  readonly expiresAtMs: number | null
  readonly isRevoked: boolean
  readonly createdAtMs: number
}

/** How much of one grant a row, or a hold, touches. In a row the amount is signed. */
export type LotPart = {
  readonly grantSeq: number
  readonly source: GrantSource
  readonly amount: number
}

export type Hold = {
  /** The seq of the row that made it: its id in the account. */
  readonly holdSeq: number
  readonly status: HoldStatus
  readonly amount: number
  readonly captured: number
  readonly action: string | null
  readonly parts: readonly LotPart[]
  readonly expiresAtMs: number
  readonly createdAtMs: number
  /** The seq of the row that captured, released or expired it. */
  readonly settledSeq: number | null
}

/** Everything about one account that decisions need. Only live lots and active holds are here. */
export type AccountState = {
  readonly accountId: string
  /** Rises with every write to the account, its grants or its holds; 0 = not opened yet. */
  readonly version: number
  /** Counts ledger rows. */
  readonly seq: number
  readonly balance: number
  readonly held: number
  readonly debt: number
  readonly status: AccountStatus
  readonly tier: string | null
  readonly tierExpiresAtMs: number | null
  readonly createdAtMs: number
  /** The time of the last write; decisions are never made before it. */
  readonly updatedAtMs: number
  readonly hasArchive: boolean
  /** Live lots (`remaining > 0`) in burn-down order. */
  readonly lots: readonly Lot[]
  readonly holds: readonly Hold[]
}

export type JsonObject = { readonly [key: string]: unknown }

/** One ledger row. `balanceBefore` is `balanceAfter - amount`. */
export type Row = {
  readonly accountId: string
  readonly seq: number
  readonly type: TransactionType
  readonly action: string | null
  /** The signed change of the balance. */
  readonly amount: number
  readonly balanceAfter: number
  readonly heldAfter: number
  readonly debtAfter: number
  /** Which grants gave (negative) or took (positive) how much; of a hold, what it reserves. */
  readonly parts: readonly LotPart[]
  /** The digest of namespace and idempotency key (a uuid), on the first row of an operation. */
  readonly key: string | null
  /** The digest of what was asked (a uuid): the same key with another digest is a 422. */
  readonly digest: string | null
  readonly actor: string
  readonly requestId: string | null
  /** What else the answer needs, so that a replay is rebuilt from the row. */
  readonly detail: JsonObject | null
  readonly metadata: JsonObject | null
  readonly createdAtMs: number
}

/** Who asks, and under which key. */
export type Request = {
  readonly accountId: string
  /** A uuid from `keyDigest`; every operation has one, also when the client sent none. */
  readonly key: string
  readonly digest: string
  readonly actor: string
  readonly requestId: string | null
  readonly metadata: JsonObject | null
}

/** The price of an action for a holder of `tier` (null: no membership); throws AppError. */
export type Quote = (tier: string | null) => Priced
export type Priced = { readonly amount: number; readonly detail: JsonObject | null }

/** What can be asked of the ledger. Amounts are whole credits, already checked to be 1 … 2^53−1. */
export type Operation = Request &
  (
    | { readonly kind: 'open'; readonly signupBonus: number }
    /** With `ifEmpty`, an account that has credits stays as it is, and that is no refusal. */
    | { readonly kind: 'close'; readonly ifEmpty?: boolean }
    | { readonly kind: 'freeze' }
    | { readonly kind: 'unfreeze' }
    | {
        readonly kind: 'membership'
        readonly tier: string | null
        readonly tierExpiresAtMs: number | null
      }
    | { readonly kind: 'charge'; readonly action: string | null; readonly quote: Quote }
    | {
        readonly kind: 'grant'
        readonly amount: number
        readonly source: GrantSource
        readonly priority: number
        readonly expiresAtMs: number | null
        readonly reason: string | null
      }
    | {
        readonly kind: 'refund'
        readonly chargeSeq: number
        /** null: all that is left of the charge. */
        readonly amount: number | null
        readonly reason: string | null
      }
    | {
        readonly kind: 'hold'
        readonly action: string | null
        readonly quote: Quote
        readonly ttlMs: number
      }
    | {
        readonly kind: 'capture'
        readonly holdSeq: number
        /** null: the whole hold. `action` is the hold's, for a price by variables. */
        readonly quote: ((tier: string | null, action: string | null) => Priced) | null
      }
    | { readonly kind: 'release'; readonly holdSeq: number }
    | { readonly kind: 'extend'; readonly holdSeq: number; readonly ttlMs: number }
    | { readonly kind: 'sweep' }
    | { readonly kind: 'adjustment'; readonly amount: number; readonly reason: string }
    | { readonly kind: 'revoke'; readonly grantSeq: number; readonly reason: string | null }
    | { readonly kind: 'transfer_out'; readonly to: string; readonly amount: number }
    | {
        readonly kind: 'transfer_in' | 'transfer_return'
        readonly from: string
        readonly parts: readonly TransferPart[]
      }
  )

export type OperationKind = Operation['kind']

/** One lot's share of a transfer: it keeps its source, priority and expiry on the other side. */
export type TransferPart = {
  readonly amount: number
  readonly source: GrantSource
  readonly priority: number
  readonly expiresAtMs: number | null
}

/**
 * What an operation answers: its first row (null if it writes none) and the account after it. A
 * repeat is answered from the first one's row alone; how the account is now, it does not tell.
 */
export type Outcome =
  | { readonly isReplay: false; readonly row: Row | null; readonly state: AccountState }
  | { readonly isReplay: true; readonly row: Row; readonly state: null }

/** A charge that a refund refers to, with what was refunded of it so far. */
export type ChargeContext = { readonly row: Row; readonly refunded: number }

/** What a decision may need beside the account's state, loaded with it. */
export type Context = {
  /** By the seq of the charge. */
  readonly charges: ReadonlyMap<number, ChargeContext>
  /** Holds that are no longer active, by their seq. */
  readonly settledHolds: ReadonlyMap<number, Hold>
  /** Lots that the charges or a revocation refer to, by their seq; a live lot in the state wins. */
  readonly lots: ReadonlyMap<number, Lot>
}

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
}

export type Decision =
  | { readonly isApplied: true; readonly state: AccountState; readonly changes: Changes }
  | { readonly isApplied: false; readonly error: AppError }
