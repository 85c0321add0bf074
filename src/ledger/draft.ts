import { AppError } from '../errors.js'
import type { Changes, Decision, PendingWork, RefundWrite } from './decision.js'
import { reserveParts } from './lots.js'
import type { AccountState, Hold, HoldStatus, Lot, Request, Row } from './model.js'
import type { OutboxEvent } from './outbox.js'

/** Credits are JSON integers, so they are exact up to here. */
export const MAX_CREDITS = Number.MAX_SAFE_INTEGER
/** Each decision may look at all lots of an account, so their number is bounded. */
export const MAX_LIVE_LOTS = 1000
/** Likewise the holds. */
export const MAX_ACTIVE_HOLDS = 1000

/** The actor of rows that time alone brought about. */
export const SYSTEM_ACTOR = 'system'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** A working copy of an account while one operation is decided: thrown away when it is refused. */
export type Draft = {
  readonly request: Request
  readonly nowMs: number
  readonly account: Mutable<Omit<AccountState, 'lots' | 'holds'>>
  lots: readonly Lot[]
  holds: readonly Hold[]
  /** The time-driven rows that come before the operation's own carry no key. */
  hasBegun: boolean
  readonly rows: Row[]
  readonly changedLots: Map<number, Lot>
  readonly changedHolds: Map<number, Hold>
  readonly refunds: RefundWrite[]
  readonly pending: PendingWork[]
  readonly events: OutboxEvent[]
}

export function createDraft(state: AccountState, request: Request, nowMs: number): Draft {
  return {
    request,
    nowMs: Math.max(nowMs, state.updatedAtMs),
    account: stateOf(state, state.lots, state.holds),
    lots: state.lots,
    holds: state.holds,
    hasBegun: false,
    rows: [],
    changedLots: new Map(),
    changedHolds: new Map(),
    refunds: [],
    pending: [],
    events: [],
  }
}

/** Closes the draft: the version rises when anything is to be written. */
export function finish(draft: Draft, isTouched = false): Decision {
  const { rows, changedLots, changedHolds, refunds, pending, events } = draft
  const isWritten = isTouched || rows.length > 0 || changedLots.size > 0
  if (isWritten) {
    draft.account.version += 1
    draft.account.updatedAtMs = draft.nowMs
  }
  const changes: Changes = {
    rows,
    lots: [...changedLots.values()],
    holds: [...changedHolds.values()],
    refunds,
    pending,
    events,
  }
  const state = stateOf(draft.account, draft.lots, draft.holds)
  return { isApplied: true, state, changes }
}

/** A state of these parts. Field by field: a spread here costs as much as all the rules. */
const stateOf = (
  account: Draft['account'],
  lots: readonly Lot[],
  holds: readonly Hold[],
): Mutable<AccountState> => ({
  accountId: account.accountId,
  version: account.version,
  seq: account.seq,
  balance: account.balance,
  held: account.held,
  debt: account.debt,
  status: account.status,
  tier: account.tier,
  tierExpiresAtMs: account.tierExpiresAtMs,
  createdAtMs: account.createdAtMs,
  updatedAtMs: account.updatedAtMs,
  hasArchive: account.hasArchive,
  lots,
  holds,
})

export const refuse = (error: AppError): Decision => ({ isApplied: false, error })

export const availableOf = (draft: Draft): number => draft.account.balance - draft.account.held

/** The tier that counts: an expired membership is none, for access and for price. */
export const tierAt = (
  account: Pick<AccountState, 'tier' | 'tierExpiresAtMs'>,
  nowMs: number,
): string | null => (isPast(account.tierExpiresAtMs, nowMs) ? null : account.tier)

/** What ends at an instant has ended from that instant on. */
export const isPast = (endMs: number | null, atMs: number): boolean =>
  endMs !== null && endMs <= atMs

/** Puts a hold as it is now, in its place; one that is settled leaves the active ones. */
export function putHold(draft: Draft, hold: Hold): void {
  draft.changedHolds.set(hold.holdSeq, hold)
  const at = draft.holds.findIndex((h) => h.holdSeq === hold.holdSeq)
  if (at < 0) draft.holds = [...draft.holds, hold]
  else if (hold.status === 'active') draft.holds = draft.holds.with(at, hold)
  else draft.holds = draft.holds.toSpliced(at, 1)
}

/** Frees what a hold had reserved and marks it as settled by the row that comes next. */
export function settleHold(draft: Draft, hold: Hold, status: HoldStatus, captured: number): void {
  reserveParts(draft, hold.parts, -1)
  draft.account.held -= hold.amount
  putHold(draft, { ...hold, status, captured, settledSeq: draft.account.seq + 1 })
}

/** Gives all of a hold back; the row tells what it had reserved. */
export function endHold(draft: Draft, hold: Hold, status: 'released' | 'expired'): void {
  settleHold(draft, hold, status, 0)
  const { holdSeq, action, parts } = hold
  const type = status === 'released' ? 'release' : 'hold_expire'
  addRow(draft, { type, action, amount: 0, parts, detail: { holdSeq, amountHeld: hold.amount } })
}

type NewRow = Pick<Row, 'type' | 'amount'> & Partial<Pick<Row, 'action' | 'parts' | 'detail'>>

/** Appends a row; the first one of the operation itself carries its key and metadata. */
export function addRow(draft: Draft, row: NewRow): Row {
  const { account, request } = draft
  const isFirst = draft.hasBegun && !draft.rows.some((r) => r.key !== null)
  account.seq += 1
  account.balance += row.amount
  const added: Row = {
    accountId: account.accountId,
    seq: account.seq,
    type: row.type,
    action: row.action ?? null,
    amount: row.amount,
    balanceAfter: account.balance,
    heldAfter: account.held,
    debtAfter: account.debt,
    parts: row.parts ?? [],
    key: isFirst ? request.key : null,
    digest: isFirst ? request.digest : null,
    actor: draft.hasBegun ? request.actor : SYSTEM_ACTOR,
    requestId: draft.hasBegun ? request.requestId : null,
    detail: row.detail ?? null,
    metadata: isFirst ? request.metadata : null,
    createdAtMs: draft.nowMs,
  }
  draft.rows.push(added)
  return added
}

/** Whether `amount` more still counts exactly; if not, the refusal. */
export function overflow(
  { account }: Draft,
  amount: number,
  of: 'balance' | 'debt' = 'balance',
): AppError | undefined {
  if (account[of] <= MAX_CREDITS - amount) return undefined
  return new AppError('limit_exceeded', `The ${of} would exceed ${MAX_CREDITS} credits`, {
    limit: MAX_CREDITS,
  })
}

export function shortOf(draft: Draft, required: number): AppError {
  const available = availableOf(draft)
  const message = `${required} credits are required, ${available} are available`
  return new AppError('insufficient_credits', message, { required, available })
}
