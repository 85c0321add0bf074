import { AppError } from '../errors.js'
import type { Context } from './decision.js'
import {
  addRow,
  availableOf,
  type Draft,
  endHold,
  MAX_ACTIVE_HOLDS,
  putHold,
  settleHold,
  shortOf,
  tierAt,
} from './draft.js'
import { pick, reserveParts, takeParts } from './lots.js'
import type { Hold, LotPart, Operation } from './model.js'

type Of<K extends Operation['kind']> = Extract<Operation, { kind: K }>

/** Reserves credits: the balance stays, `held` rises. */
export function hold(draft: Draft, operation: Of<'hold'>): AppError | undefined {
  const { account, nowMs } = draft
  const { amount, detail } = operation.quote(tierAt(account, nowMs))
  if (draft.holds.length >= MAX_ACTIVE_HOLDS) {
    const message = `An account has at most ${MAX_ACTIVE_HOLDS} active holds`
    return new AppError('limit_exceeded', message, { limit: MAX_ACTIVE_HOLDS })
  }
  if (amount > availableOf(draft)) return shortOf(draft, amount)
  const parts = pick(draft, amount)
  const expiresAtMs = nowMs + operation.ttlMs
  reserveParts(draft, parts, 1)
  account.held += amount
  const { action } = operation
  putHold(draft, {
    holdSeq: account.seq + 1,
    status: 'active',
    amount,
    captured: 0,
    action,
    parts,
    expiresAtMs,
    createdAtMs: nowMs,
    settledSeq: null,
  })
  const terms = { ...detail, amountHeld: amount, expiresAtMs }
  addRow(draft, { type: 'hold', action, amount: 0, parts, detail: terms })
  return undefined
}

/** Settles a hold once: the rest is released; above it, available credits pay. */
export function capture(
  draft: Draft,
  operation: Of<'capture'>,
  context: Context,
): AppError | undefined {
  const found = activeHold(draft, operation.holdSeq, context)
  if (found instanceof AppError) return found
  const quoted = operation.quote?.(tierAt(draft.account, draft.nowMs), found.action)
  const amount = quoted?.amount ?? found.amount
  const above = amount - found.amount
  if (above > 0 && draft.account.status === 'frozen') {
    return new AppError('account_frozen', 'The account is frozen: it can not spend above its hold')
  }
  if (above > availableOf(draft)) return shortOfCapture(draft, amount, found)
  settleHold(draft, found, 'captured', amount)
  const reserved = takeParts(draft, firstOf(found.parts, amount))
  const extra = above > 0 ? takeParts(draft, pick(draft, above)) : []
  addRow(draft, {
    type: 'capture',
    action: found.action,
    amount: -amount || 0,
    parts: merge([...reserved, ...extra]),
    detail: { ...quoted?.detail, holdSeq: found.holdSeq, amountHeld: found.amount },
  })
  return undefined
}

/** Gives all of a hold back. */
export function release(
  draft: Draft,
  operation: Of<'release'>,
  context: Context,
): AppError | undefined {
  const found = activeHold(draft, operation.holdSeq, context)
  if (found instanceof AppError) return found
  endHold(draft, found, 'released')
  return undefined
}

/** Moves the deadline to `ttlMs` from now; it never comes earlier than it was. */
export function extend(
  draft: Draft,
  operation: Of<'extend'>,
  context: Context,
): AppError | undefined {
  const found = activeHold(draft, operation.holdSeq, context)
  if (found instanceof AppError) return found
  const expiresAtMs = Math.max(found.expiresAtMs, draft.nowMs + operation.ttlMs)
  putHold(draft, { ...found, expiresAtMs })
  const detail = { holdSeq: found.holdSeq, amountHeld: found.amount, expiresAtMs }
  addRow(draft, { type: 'extend', action: found.action, amount: 0, detail })
  return undefined
}

function activeHold(draft: Draft, holdSeq: number, context: Context): Hold | AppError {
  const active = draft.holds.find((h) => h.holdSeq === holdSeq)
  if (active) return active
  const settledHold = draft.changedHolds.get(holdSeq) ?? context.settledHolds.get(holdSeq)
  if (!settledHold) return new AppError('hold_not_found', 'The account has no such hold')
  const { status } = settledHold
  return new AppError('hold_not_active', `The hold is ${status}`, { holdStatus: status })
}

function shortOfCapture(draft: Draft, required: number, found: Hold): AppError {
  const available = availableOf(draft) + found.amount
  const message = `${required} credits are required, ${available} are held or available`
  return new AppError('insufficient_credits', message, { required, available })
}

/** The first `amount` credits of the parts, in their order. */
function firstOf(parts: readonly LotPart[], amount: number): LotPart[] {
  const first: LotPart[] = []
  let left = amount
  for (const part of parts) {
    const share = Math.min(left, part.amount)
    if (share > 0) first.push({ ...part, amount: share })
    left -= share
  }
  return first
}

/** A lot that gave twice is shown once. */
function merge(parts: readonly LotPart[]): LotPart[] {
  const merged = new Map<number, LotPart>()
  for (const part of parts) {
    const before = merged.get(part.grantSeq)?.amount ?? 0
    merged.set(part.grantSeq, { ...part, amount: before + part.amount })
  }
  return [...merged.values()]
}
