import { AppError } from '../../src/errors.js'
import type { AccountState, Hold, Operation } from '../../src/ledger/model.js'
import {
  type Account,
  announce,
  endReserve,
  figuresOf,
  free,
  freeOf,
  inBurnDownOrder,
  lapse,
  liveGrants,
  newAccount,
  partsOf,
  present,
  type Reserve,
  reserved,
  take,
  write,
} from './model-account.js'
import { perform } from './model-operations.js'

/*
 * A ledger so plain that it can be checked by reading: every credit is a thing of its own, an
 * operation moves credits one by one, and every figure is counted anew from them. One credit here
 * stands for `unit` credits there, so that amounts near 2^53 can be played too.
 */

/** What one credit here stands for there, and how many free ones are few. */
export type Terms = { readonly unit: number; readonly low: number }

export type Played = { readonly account: Account | null; readonly error: AppError | null }

/** Plays one operation. A refused one leaves the account as it was, an accepted one gives a new. */
export function play(
  before: Account | null,
  operation: Operation,
  nowMs: number,
  { unit, low }: Terms,
): Played {
  if (before === null && operation.kind !== 'open') {
    return { account: null, error: new AppError('account_not_found', '') }
  }
  const account = before ? copyOf(before) : newAccount(operation.accountId, nowMs, unit)
  try {
    account.nowMs = Math.max(nowMs, account.writtenMs)
    passTime(account)
    const ownFrom = account.rows.length
    perform(account, operation, before === null)
    arriveAt(account, account.nowMs)
    sign(account, ownFrom, operation)
    const hadEnough = before !== null && free(before).length >= low
    report(account, ownFrom, operation, { low, hadEnough })
  } catch (error) {
    if (error instanceof AppError) return { account: before, error }
    throw error
  }
  const isWritten =
    before === null ||
    account.rows.length > before.rows.length ||
    account.status !== before.status ||
    account.tier !== before.tier ||
    account.tierExpiresAtMs !== before.tierExpiresAtMs
  if (isWritten) {
    account.version += 1
    account.writtenMs = account.nowMs
  }
  return { account, error: null }
}

/** The account as the service would show it. */
export function viewOf(account: Account): AccountState {
  return {
    accountId: account.id,
    version: account.version,
    seq: account.rows.length,
    ...figuresOf(account),
    status: account.status,
    tier: account.tier,
    tierExpiresAtMs: account.tierExpiresAtMs,
    createdAtMs: account.openedMs,
    updatedAtMs: account.writtenMs,
    hasArchive: false,
    lots: liveGrants(account)
      .sort(inBurnDownOrder)
      .map((grant) => ({
        ...grant,
        remaining: present(account, grant.grantSeq).length * account.unit,
        held: reserved(account, grant.grantSeq).length * account.unit,
      })),
    holds: account.reserves.filter((r) => r.status === 'active').map((r) => holdOf(account, r)),
  }
}

export const holdOf = (account: Account, { credits, ...reserve }: Reserve): Hold => ({
  ...reserve,
  amount: credits.length * account.unit,
  captured: reserve.captured * account.unit,
  parts: partsOf(account, credits, 1),
})

/** Everything that time has decided until now, instant by instant. */
function passTime(account: Account): void {
  const deadlines = [
    ...account.reserves.filter((r) => r.status === 'active').map((r) => r.expiresAtMs),
    ...account.grants.flatMap((g) => g.expiresAtMs ?? []),
  ]
  const due = deadlines.filter((ms) => ms <= account.nowMs).sort((a, b) => a - b)
  for (const instantMs of new Set([...due, account.nowMs])) arriveAt(account, instantMs)
}

function arriveAt(account: Account, instantMs: number): void {
  for (const reserve of account.reserves) {
    if (reserve.status !== 'active' || reserve.expiresAtMs > instantMs) continue
    endReserve(account, reserve, 'expired')
    const { action, holdSeq, credits } = reserve
    const detail = { holdSeq, amountHeld: credits.length * account.unit }
    write(account, { type: 'hold_expire', action, detail }, credits)
  }
  for (const grant of liveGrants(account).sort(inBurnDownOrder)) {
    const hasEnded = grant.expiresAtMs !== null && grant.expiresAtMs <= instantMs
    if (!hasEnded && !grant.isRevoked) continue
    const leaving = freeOf(account, grant.grantSeq)
    if (leaving.length === 0) continue
    lapse(account, leaving)
    write(account, { type: grant.isRevoked ? 'revoke' : 'expire' }, leaving, -1)
  }
  const paying = free(account).slice(0, account.owed)
  if (paying.length === 0) return
  take(account, paying)
  account.owed -= paying.length
  write(account, { type: 'debt_payment' }, paying, -1)
}

/** The rows of the operation itself tell who asked; the first of them carries the key. */
function sign(account: Account, ownFrom: number, operation: Operation): void {
  const { actor, requestId, key, digest, metadata } = operation
  account.rows = account.rows.map((row, index) => {
    if (index < ownFrom) return row
    const first = index === ownFrom ? { key, digest, metadata } : {}
    return { ...row, actor, requestId, ...first }
  })
}

/** What the caller wanted told of its first row, and that the free credits have become few. */
function report(
  account: Account,
  ownFrom: number,
  { announce: asked }: Operation,
  { low, hadEnough }: { low: number; hadEnough: boolean },
): void {
  const own = account.rows[ownFrom]
  if (asked && own) announce(account, own.seq, asked.type, asked.data)
  const left = free(account).length
  if (left >= low || !hadEnough || account.status === 'closed') return
  const figures = { available: left * account.unit, balance: figuresOf(account).balance }
  const data = { ...figures, threshold: low * account.unit }
  announce(account, account.rows.length, 'balance.low', data)
}

const copyOf = (account: Account): Account => ({
  ...account,
  grants: account.grants.map((grant) => ({ ...grant })),
  credits: account.credits.map((credit) => ({ ...credit })),
  reserves: account.reserves.map((reserve) => ({ ...reserve })),
  spendings: account.spendings.map((spending) => ({ ...spending })),
  rows: [...account.rows],
  lapses: [...account.lapses],
  stakes: [...account.stakes],
  refunds: [],
  pending: [],
  events: [],
})
