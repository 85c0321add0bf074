import { AppError, accountNotFound } from '../errors.js'
import { announce, type Told } from './announce-rules.js'
import { clawBack, collect } from './claw-back-rules.js'
import type { Context, Decision } from './decision.js'
import {
  addRow,
  availableOf,
  createDraft,
  type Draft,
  endHold,
  finish,
  refuse,
  shortOf,
  tierAt,
} from './draft.js'
import { settleAt, settleDue } from './due-rules.js'
import { capture, extend, hold, release } from './hold-rules.js'
import { addLots, allocate, join } from './inflow-rules.js'
import { liveLot, pick, takeParts } from './lots.js'
import type { AccountState, JsonObject, Operation, TransferPart } from './model.js'
import { refund, revoke } from './return-rules.js'

type Of<K extends Operation['kind']> = Extract<Operation, { kind: K }>

/** What a frozen account refuses: everything that spends. A capture within its hold goes on. */
const SPENDING: ReadonlySet<Operation['kind']> = new Set([
  'charge',
  'hold',
  'extend',
  'transfer_out',
])
/** What still happens to a closed account: its lots expire, a failed transfer comes back. */
const AFTER_CLOSING: ReadonlySet<Operation['kind']> = new Set(['sweep', 'transfer_return'])

const NEVER: Told = { lowBalanceCredits: 0 }

/** The priority of credits for which nobody chose one. */
export const DEFAULT_PRIORITY = 50

/**
 * Decides one operation on one account: the new state and what is to be written, or the refusal.
 * Pure: the same arguments give the same decision. `state` is null when the account is not open.
 * The time is the database's, in ms; a decision is never made before the account's last write.
 * What others are to be told of it, by `told`, is among the changes.
 */
export function decide(
  state: AccountState | null,
  operation: Operation,
  context: Context,
  nowMs: number,
  told: Told = NEVER,
): Decision {
  if (state === null) {
    return operation.kind === 'open'
      ? open(operation, nowMs, told)
      : refuse(accountNotFound(operation.accountId))
  }
  const barred = bar(state, operation)
  if (barred) return refuse(barred)
  const draft = createDraft(state, operation, nowMs)
  settleDue(draft)
  draft.hasBegun = true
  try {
    const refusal = act(draft, operation, context)
    if (refusal) return refuse(refusal)
  } catch (error) {
    // A quote tells its refusal by throwing.
    if (error instanceof AppError) return refuse(error)
    throw error
  }
  settleAt(draft, draft.nowMs)
  announce(draft, operation, state, told)
  return finish(draft, isProfileChanged(state, draft))
}

/** The account as of `nowMs`: what is due has left, although no sweep has come yet. */
export function settled(state: AccountState, nowMs: number): AccountState {
  const request = { accountId: state.accountId, key: '', digest: '', actor: '', requestId: null }
  const draft = createDraft(state, { ...request, metadata: null }, nowMs)
  settleDue(draft)
  return { ...draft.account, lots: draft.lots, holds: draft.holds }
}

function act(draft: Draft, operation: Operation, context: Context): AppError | undefined {
  switch (operation.kind) {
    case 'charge':
      return charge(draft, operation)
    case 'grant':
      return addLots(draft, 'grant', [operation], detailOf(operation))
    case 'refund':
      return refund(draft, operation, context)
    case 'hold':
      return hold(draft, operation)
    case 'capture':
      return capture(draft, operation, context)
    case 'release':
      return release(draft, operation, context)
    case 'extend':
      return extend(draft, operation, context)
    case 'adjustment':
      return adjust(draft, operation)
    case 'revoke':
      return revoke(draft, operation, context)
    case 'allocation':
      return allocate(draft, operation)
    case 'claw_back':
      return clawBack(draft, operation, context)
    case 'collect':
      return collect(draft, operation)
    case 'transfer_out':
      return transferOut(draft, operation)
    case 'transfer_in':
    case 'transfer_return':
      return addLots(draft, operation.kind, operation.parts, { from: operation.from })
    default:
      return administer(draft, operation)
  }
}

function administer(
  draft: Draft,
  operation: Of<'open' | 'close' | 'freeze' | 'unfreeze' | 'membership' | 'sweep'>,
): undefined {
  const { account } = draft
  if (operation.kind === 'freeze') account.status = 'frozen'
  if (operation.kind === 'unfreeze') account.status = 'active'
  if (operation.kind === 'membership') join(draft, operation)
  if (operation.kind === 'close') close(draft, operation)
}

function close(draft: Draft, { ifEmpty }: Of<'close'>): void {
  if (ifEmpty && draft.account.balance > 0) return
  for (const held of draft.holds) endHold(draft, held, 'released')
  draft.account.status = 'closed'
}

function open(operation: Of<'open'>, nowMs: number, told: Told): Decision {
  const empty = emptyAccount(operation.accountId, nowMs)
  const draft = createDraft(empty, operation, nowMs)
  draft.hasBegun = true
  if (operation.signupBonus > 0) {
    const bonus = { source: 'bonus', priority: DEFAULT_PRIORITY, expiresAtMs: null } as const
    addLots(draft, 'grant', [{ ...bonus, amount: operation.signupBonus }], { reason: 'signup' })
  }
  announce(draft, operation, empty, told)
  return finish(draft, true)
}

export const emptyAccount = (accountId: string, nowMs: number): AccountState => ({
  accountId,
  version: 0,
  seq: 0,
  balance: 0,
  held: 0,
  debt: 0,
  status: 'active',
  tier: null,
  tierExpiresAtMs: null,
  createdAtMs: nowMs,
  updatedAtMs: nowMs,
  hasArchive: false,
  lots: [],
  holds: [],
})

function charge(draft: Draft, operation: Of<'charge'>): AppError | undefined {
  const { amount, detail } = operation.quote(tierAt(draft.account, draft.nowMs))
  if (amount > availableOf(draft)) return shortOf(draft, amount)
  const parts = takeParts(draft, pick(draft, amount))
  addRow(draft, { type: 'charge', action: operation.action, amount: -amount || 0, parts, detail })
  return undefined
}

function adjust(draft: Draft, operation: Of<'adjustment'>): AppError | undefined {
  const detail = { reason: operation.reason }
  if (operation.amount > 0) {
    const lot = { source: 'bonus', priority: DEFAULT_PRIORITY, expiresAtMs: null } as const
    return addLots(draft, 'adjustment', [{ ...lot, amount: operation.amount }], detail)
  }
  const taken = -operation.amount
  if (taken > availableOf(draft)) return shortOf(draft, taken)
  const parts = takeParts(draft, pick(draft, taken))
  addRow(draft, { type: 'adjustment', amount: operation.amount, parts, detail })
  return undefined
}

function transferOut(draft: Draft, operation: Of<'transfer_out'>): AppError | undefined {
  const { amount, to } = operation
  if (amount > availableOf(draft)) return shortOf(draft, amount)
  const picked = pick(draft, amount)
  const moved = picked.map((part): TransferPart => {
    const { source, priority, expiresAtMs } = liveLot(draft, part.grantSeq)
    return { amount: part.amount, source, priority, expiresAtMs }
  })
  const parts = takeParts(draft, picked)
  const row = addRow(draft, { type: 'transfer_out', amount: -amount, parts, detail: { to } })
  const payload = { from: row.accountId, fromSeq: row.seq, to, parts: moved }
  draft.pending.push({ id: `transfer:${row.seq}`, kind: 'transfer', payload })
  return undefined
}

function bar(state: AccountState, operation: Operation): AppError | undefined {
  if (state.status === 'closed' && !AFTER_CLOSING.has(operation.kind)) {
    return operation.kind === 'close' ? undefined : closed()
  }
  if (state.status !== 'frozen' || !SPENDING.has(operation.kind)) return undefined
  return new AppError('account_frozen', 'The account is frozen: it can not spend')
}

const isProfileChanged = (before: AccountState, { account }: Draft): boolean =>
  before.status !== account.status ||
  before.tier !== account.tier ||
  before.tierExpiresAtMs !== account.tierExpiresAtMs

const detailOf = ({ reason, detail = null }: Of<'grant'>): JsonObject | null =>
  reason === null ? detail : { ...detail, reason }
const closed = () => new AppError('account_closed', 'The account is closed')
