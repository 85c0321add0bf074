import type { PendingWork, RefundWrite } from '../../src/ledger/decision.js'
import type {
  AccountStatus,
  GrantSource,
  HoldStatus,
  JsonObject,
  LotPart,
  Row,
  TransferPart,
} from '../../src/ledger/model.js'
import type { OutboxEvent } from '../../src/ledger/outbox.js'

export type Credit = { readonly grantSeq: number; isGone: boolean; holdSeq: number | null }

export type Grant = TransferPart & {
  readonly grantSeq: number
  readonly createdAtMs: number
  isRevoked: boolean
}

/** `credits` are indexes into the account's credits, in the order in which they were reserved. */
export type Reserve = {
  readonly holdSeq: number
  readonly credits: readonly number[]
  readonly action: string | null
  readonly createdAtMs: number
  expiresAtMs: number
  status: HoldStatus
  captured: number
  settledSeq: number | null
}

/** A charge or capture; `credits` in the order in which they paid. */
export type Spending = {
  readonly seq: number
  readonly action: string | null
  readonly credits: readonly number[]
  refunded: number
}

/** One credit of a grant that was clawed back: what was taken for it, and from where. */
export type Stake = {
  readonly grantSeq: number
  /** `lapsed`: it had left the grant unused, so nothing was; `rest`: another credit, or a debt. */
  readonly from: 'lapsed' | 'grant' | 'rest'
  /** Of the credit that was taken out of the grant. */
  readonly index: number | null
}

export type Account = {
  readonly id: string
  readonly unit: number
  readonly openedMs: number
  version: number
  nowMs: number
  writtenMs: number
  status: AccountStatus
  tier: string | null
  tierExpiresAtMs: number | null
  /** Debt, in units. */
  owed: number
  grants: Grant[]
  credits: Credit[]
  reserves: Reserve[]
  spendings: Spending[]
  rows: Row[]
  /** The grant of each credit that expired or was revoked. */
  lapses: number[]
  stakes: Stake[]
  refunds: RefundWrite[]
  pending: PendingWork[]
  events: OutboxEvent[]
}

/** Free credits, as indexes, the first to be spent first. */
export function free(account: Account): number[] {
  const grants = account.grants.toSorted(inBurnDownOrder)
  const rank = new Map(grants.map((grant, place) => [grant.grantSeq, place]))
  const rankOf = (index: number) => rank.get(at(account, index).grantSeq) ?? 0
  return indexes(account, isFree).sort((a, b) => rankOf(a) - rankOf(b) || a - b)
}

export const freeOf = (account: Account, grantSeq: number): number[] =>
  indexes(account, (credit) => credit.grantSeq === grantSeq && isFree(credit))

const isFree = (credit: Credit): boolean => !credit.isGone && credit.holdSeq === null

export const inBurnDownOrder = (a: Grant, b: Grant): number => {
  const endOf = (grant: Grant) => grant.expiresAtMs ?? 1e300
  return a.priority - b.priority || endOf(a) - endOf(b) || a.grantSeq - b.grantSeq
}

/** Writes a row about credits that were moved before; the figures are counted. */
export function write(
  account: Account,
  row: Pick<Row, 'type'> & Partial<Pick<Row, 'action' | 'detail'>>,
  moved: readonly number[] = [],
  direction: -1 | 0 | 1 = 0,
): number {
  const seq = account.rows.length + 1
  const { balance, held, debt } = figuresOf(account)
  account.rows.push({
    accountId: account.id,
    seq,
    type: row.type,
    action: row.action ?? null,
    amount: moved.length === 0 || direction === 0 ? 0 : moved.length * account.unit * direction,
    balanceAfter: balance,
    heldAfter: held,
    debtAfter: debt,
    parts: partsOf(account, moved, direction || 1),
    key: null,
    digest: null,
    actor: 'system',
    requestId: null,
    detail: row.detail ?? null,
    metadata: null,
    createdAtMs: account.nowMs,
  })
  return seq
}

/** Takes credits of a grant that has ended. */
export function lapse(account: Account, credits: readonly number[]): void {
  take(account, credits)
  account.lapses.push(...credits.map((index) => at(account, index).grantSeq))
}

/** Tells of a row. */
export function announce(account: Account, seq: number, type: string, data: JsonObject): void {
  const event = { accountId: account.id, id: `${seq}:${type}`, type, createdAtMs: account.nowMs }
  account.events.push({ ...event, data: { ...data, accountId: account.id, seq } })
}

/** Takes credits away for good. */
export function take(account: Account, credits: readonly number[]): void {
  for (const index of credits) at(account, index).isGone = true
}

/** Ends a reserve: all its credits are free again. */
export function endReserve(account: Account, reserve: Reserve, status: HoldStatus): void {
  for (const index of reserve.credits) at(account, index).holdSeq = null
  reserve.status = status
  reserve.settledSeq = account.rows.length + 1
}

export function partsOf(
  account: Account,
  credits: readonly number[],
  direction: -1 | 1,
): LotPart[] {
  const seqs = [...new Set(credits.map((index) => at(account, index).grantSeq))]
  return seqs.map((grantSeq) => {
    const count = credits.filter((index) => at(account, index).grantSeq === grantSeq).length
    return {
      grantSeq,
      source: sourceOf(account, grantSeq),
      amount: count * account.unit * direction,
    }
  })
}

export function figuresOf(account: Account): { balance: number; held: number; debt: number } {
  const { unit, owed } = account
  const there = account.credits.filter((c) => !c.isGone)
  const held = there.filter((c) => c.holdSeq !== null)
  return { balance: there.length * unit, held: held.length * unit, debt: owed * unit }
}

export const grantOf = (account: Account, grantSeq: number): Grant | undefined =>
  account.grants.find((grant) => grant.grantSeq === grantSeq)

const indexes = (account: Account, test: (credit: Credit) => boolean): number[] =>
  account.credits.flatMap((credit, index) => (test(credit) ? [index] : []))

/** The grants that have credits left. */
export function liveGrants(account: Account): Grant[] {
  const live = new Set(account.credits.filter((c) => !c.isGone).map((c) => c.grantSeq))
  return account.grants.filter((grant) => live.has(grant.grantSeq))
}

export const present = (account: Account, grantSeq: number): number[] =>
  indexes(account, (c) => c.grantSeq === grantSeq && !c.isGone)

export const reserved = (account: Account, grantSeq: number): number[] =>
  indexes(account, (c) => c.grantSeq === grantSeq && !c.isGone && c.holdSeq !== null)

export function at(account: Account, index: number): Credit {
  const credit = account.credits[index]
  if (!credit) throw new Error(`the model has no credit ${index}`)
  return credit
}

function sourceOf(account: Account, grantSeq: number): GrantSource {
  const grant = grantOf(account, grantSeq)
  if (!grant) throw new Error(`the model has no grant ${grantSeq}`)
  return grant.source
}

export function newAccount(id: string, nowMs: number, unit: number): Account {
  const lists = { grants: [], credits: [], reserves: [], spendings: [], rows: [] }
  const written = { refunds: [], pending: [], events: [], lapses: [], stakes: [] }
  const profile = { status: 'active', tier: null, tierExpiresAtMs: null } as const
  const times = { openedMs: nowMs, nowMs, writtenMs: nowMs }
  return { id, unit, version: 0, owed: 0, ...times, ...profile, ...lists, ...written }
}
