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
  'allocation',
  'claw_back',
  'reinstate',
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
  /** Told to others in the same write, if it leaves a row; with that row's seq. */
  readonly announce?: Announcement | null
}

export type Announcement = { readonly type: string; readonly data: JsonObject }

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
    | ({ readonly kind: 'membership' } & Membership)
    | { readonly kind: 'charge'; readonly action: string | null; readonly quote: Quote }
    | {
        readonly kind: 'grant'
        readonly amount: number
        readonly source: GrantSource
        readonly priority: number
        readonly expiresAtMs: number | null
        readonly reason: string | null
        /** What else the row shall tell. */
        readonly detail?: JsonObject | null
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
    | {
        readonly kind: 'allocation'
        /** None: only the membership changes, and no row is written. */
        readonly parts: readonly TransferPart[]
        /** null: it stays as it is. */
        readonly membership: Membership | null
        readonly detail: JsonObject
      }
    /** Absolute, and so safe to repeat under any key: only what is lacking to `target` moves. */
    | {
        readonly kind: 'claw_back'
        readonly grantSeq: number
        /** How much of the grant shall be clawed back in all: 0 … its amount. */
        readonly target: number
        readonly reason: string | null
        readonly detail: JsonObject
      }
    /** Claws back what was granted in another account, whose owner's credits have come here. */
    | {
        readonly kind: 'collect'
        readonly amount: number
        readonly reason: string | null
        readonly detail: JsonObject
      }
  )

export type OperationKind = Operation['kind']

export type Membership = { readonly tier: string | null; readonly tierExpiresAtMs: number | null }

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
