import { AppError, type ErrorCode, type ErrorFields } from '../../src/errors.js'
import type {
  JsonObject,
  Operation,
  Priced,
  Quote,
  Row,
  TransferPart,
} from '../../src/ledger/model.js'
import {
  type Account,
  announce,
  at,
  endReserve,
  figuresOf,
  free,
  freeOf,
  type Grant,
  grantOf,
  lapse,
  liveGrants,
  type Reserve,
  type Stake,
  take,
  write,
} from './model-account.js'

type Of<K extends Operation['kind']> = Extract<Operation, { kind: K }>

const MOST_CREDITS = 9007199254740991n
const MOST_LOTS = 1000
const MOST_HOLDS = 1000

/** What the operation itself does to the plain ledger; throws AppError when it is refused. */
export function perform(account: Account, operation: Operation, isNew: boolean): void {
  refuseByStatus(account, operation)
  const { kind } = operation
  if (kind === 'open' && isNew) welcome(account, operation.signupBonus)
  if (kind === 'close') close(account, operation)
  if (kind === 'freeze') account.status = 'frozen'
  if (kind === 'unfreeze') account.status = 'active'
  if (kind === 'membership') account.tier = operation.tier
  if (kind === 'membership') account.tierExpiresAtMs = operation.tierExpiresAtMs
  if (kind === 'charge') charge(account, operation)
  if (kind === 'grant') {
    const { reason, detail = null } = operation
    add(account, kind, [operation], reason === null ? detail : { ...detail, reason })
  }
  if (kind === 'allocation') allocate(account, operation)
  if (kind === 'claw_back') clawBack(account, operation)
  if (kind === 'collect') collect(account, operation)
  if (kind === 'refund') refund(account, operation)
  if (kind === 'hold') hold(account, operation)
  if (kind === 'capture') capture(account, operation)
  if (kind === 'release') release(account, activeReserve(account, operation.holdSeq))
  if (kind === 'extend') extend(account, operation)
  if (kind === 'adjustment') adjust(account, operation)
  if (kind === 'revoke') revoke(account, operation)
  if (kind === 'transfer_out') send(account, operation)
  if (kind === 'transfer_in' || kind === 'transfer_return') {
    add(account, kind, operation.parts, { from: operation.from })
  }
}

function refuseByStatus(account: Account, { kind }: Operation): void {
  const isClosed = account.status === 'closed'
  if (isClosed && !['sweep', 'transfer_return', 'close'].includes(kind))
    throw refusal('account_closed')
  const isFrozen = account.status === 'frozen'
  if (isFrozen && ['charge', 'hold', 'extend', 'transfer_out'].includes(kind)) {
    throw refusal('account_frozen')
  }
}

function welcome(account: Account, signupBonus: number): void {
  if (signupBonus === 0) return
  const bonus = { source: 'bonus', priority: 50, expiresAtMs: null } as const
  add(account, 'grant', [{ ...bonus, amount: signupBonus }], { reason: 'signup' })
}

function close(account: Account, { ifEmpty }: Of<'close'>): void {
  if (ifEmpty && account.credits.some(({ isGone }) => !isGone)) return
  for (const reserve of account.reserves) {
    if (reserve.status === 'active') release(account, reserve)
  }
  account.status = 'closed'
}

function charge(account: Account, { action, quote }: Of<'charge'>): void {
  const { count, detail } = priceOf(account, quote)
  const paying = firstFree(account, count)
  take(account, paying)
  const seq = write(account, { type: 'charge', action, detail }, paying, -1)
  account.spendings.push({ seq, action, credits: paying, refunded: 0 })
}

function refund(account: Account, { chargeSeq, amount, reason }: Of<'refund'>): void {
  const spending = account.spendings.find((s) => s.seq === chargeSeq)
  if (!spending) throw refusal('transaction_not_found')
  const { credits, action, refunded } = spending
  const unrefunded = credits.slice(0, credits.length - refunded)
  const count = amount === null ? unrefunded.length : amount / account.unit
  if (count > unrefunded.length || count === 0) {
    throw refusal('refund_exceeds_charge', { refundable: unrefunded.length * account.unit })
  }
  refuseOverflow(account, count)
  const back = unrefunded.toReversed().slice(0, count)
  for (const index of back) at(account, index).isGone = false
  spending.refunded += count
  const detail = { chargeSeq, ...reasonOf(reason) }
  const refundSeq = write(account, { type: 'refund', action, detail }, back, 1)
  account.refunds.push({ chargeSeq, refundSeq, amount: count * account.unit })
}

function hold(account: Account, { action, quote, ttlMs }: Of<'hold'>): void {
  const { count, detail } = priceOf(account, quote)
  const active = account.reserves.filter((r) => r.status === 'active')
  if (active.length >= MOST_HOLDS) throw refusal('limit_exceeded', { limit: MOST_HOLDS })
  const credits = firstFree(account, count)
  const holdSeq = account.rows.length + 1
  for (const index of credits) at(account, index).holdSeq = holdSeq
  const expiresAtMs = account.nowMs + ttlMs
  const settlement = { status: 'active', captured: 0, settledSeq: null } as const
  const createdAtMs = account.nowMs
  account.reserves.push({ holdSeq, credits, action, createdAtMs, expiresAtMs, ...settlement })
  const terms = { ...detail, amountHeld: count * account.unit, expiresAtMs }
  write(account, { type: 'hold', action, detail: terms }, credits)
}

function capture(account: Account, { holdSeq, quote }: Of<'capture'>): void {
  const reserve = activeReserve(account, holdSeq)
  const { credits, action } = reserve
  const priced = quote && priceOf(account, (tier) => quote(tier, action))
  const count = priced ? priced.count : credits.length
  const above = Math.max(0, count - credits.length)
  if (above > 0 && account.status === 'frozen') throw refusal('account_frozen')
  const extra = firstFree(account, above, credits.length)
  const taken = [...credits.slice(0, count), ...extra]
  endReserve(account, reserve, 'captured')
  reserve.captured = count
  take(account, taken)
  // What one grant gave, reserved or not, counts as given together.
  const order = taken.map((index) => at(account, index).grantSeq)
  const paid = taken.toSorted(
    (a, b) => order.indexOf(at(account, a).grantSeq) - order.indexOf(at(account, b).grantSeq),
  )
  const detail = { ...priced?.detail, holdSeq, amountHeld: credits.length * account.unit }
  const seq = write(account, { type: 'capture', action, detail }, paid, -1)
  account.spendings.push({ seq, action, credits: paid, refunded: 0 })
}

function release(account: Account, reserve: Reserve): void {
  const { action, credits, holdSeq } = reserve
  endReserve(account, reserve, 'released')
  const detail = { holdSeq, amountHeld: credits.length * account.unit }
  write(account, { type: 'release', action, detail }, credits)
}

function extend(account: Account, { holdSeq, ttlMs }: Of<'extend'>): void {
  const reserve = activeReserve(account, holdSeq)
  const { action, credits } = reserve
  reserve.expiresAtMs = Math.max(reserve.expiresAtMs, account.nowMs + ttlMs)
  const terms = { amountHeld: credits.length * account.unit, expiresAtMs: reserve.expiresAtMs }
  write(account, { type: 'extend', action, detail: { holdSeq, ...terms } })
}

function adjust(account: Account, { amount, reason }: Of<'adjustment'>): void {
  if (amount > 0) {
    const lot = { source: 'bonus', priority: 50, expiresAtMs: null } as const
    add(account, 'adjustment', [{ ...lot, amount }], { reason })
    return
  }
  const leaving = firstFree(account, -amount / account.unit)
  take(account, leaving)
  write(account, { type: 'adjustment', detail: { reason } }, leaving, -1)
}

function revoke(account: Account, { grantSeq, reason }: Of<'revoke'>): void {
  const grant = grantOf(account, grantSeq)
  if (!grant) throw refusal('grant_not_found')
  if (grant.isRevoked) throw refusal('grant_revoked')
  grant.isRevoked = true
  const leaving = freeOf(account, grantSeq)
  lapse(account, leaving)
  write(account, { type: 'revoke', detail: { grantSeq, ...reasonOf(reason) } }, leaving, -1)
}

function send(account: Account, { to, amount }: Of<'transfer_out'>): void {
  const leaving = firstFree(account, amount / account.unit)
  const parts: TransferPart[] = []
  for (const grant of account.grants) {
    const count = leaving.filter((i) => at(account, i).grantSeq === grant.grantSeq).length
    const { source, priority, expiresAtMs } = grant
    const place = leaving.findIndex((i) => at(account, i).grantSeq === grant.grantSeq)
    if (count > 0) parts[place] = { amount: count * account.unit, source, priority, expiresAtMs }
  }
  take(account, leaving)
  const fromSeq = write(account, { type: 'transfer_out', detail: { to } }, leaving, -1)
  const payload = { from: account.id, fromSeq, to, parts: Object.values(parts) }
  account.pending.push({ id: `transfer:${fromSeq}`, kind: 'transfer', payload })
}

function add(
  account: Account,
  type: 'grant' | 'adjustment' | 'transfer_in' | 'transfer_return' | 'allocation',
  lots: readonly TransferPart[],
  detail: Row['detail'],
): void {
  const { unit } = account
  refuseOverflow(
    account,
    lots.reduce((sum, lot) => sum + lot.amount / unit, 0),
  )
  const live = liveGrants(account)
  // What comes back from a failed transfer was here before: it has nowhere else to go.
  const isNew = type !== 'transfer_return'
  if (isNew && live.length + lots.length > MOST_LOTS) {
    throw refusal('limit_exceeded', { limit: MOST_LOTS })
  }
  for (const lot of lots) write(account, { type, detail }, make(account, lot), 1)
}

/** The credits of a new grant, which the next row makes. */
function make(account: Account, { amount, source, priority, expiresAtMs }: TransferPart): number[] {
  const grantSeq = account.rows.length + 1
  const terms = { amount, source, priority, expiresAtMs }
  account.grants.push({ grantSeq, ...terms, isRevoked: false, createdAtMs: account.nowMs })
  const before = account.credits.length
  const count = amount / account.unit
  for (let n = 0; n < count; n += 1) {
    account.credits.push({ grantSeq, isGone: false, holdSeq: null })
  }
  return Array.from({ length: count }, (_, n) => before + n)
}

function allocate(account: Account, { parts, membership, detail }: Of<'allocation'>): void {
  add(account, 'allocation', parts, detail)
  if (!membership) return
  account.tier = membership.tier
  account.tierExpiresAtMs = membership.tierExpiresAtMs
}

/** Credit by credit, until the grant has as many stakes as the target says. */
function clawBack(account: Account, operation: Of<'claw_back'>): void {
  const { grantSeq, target, reason } = operation
  const grant = grantOf(account, grantSeq)
  if (!grant) throw refusal('grant_not_found')
  if (target < 0 || target > grant.amount) throw refusal('limit_exceeded', { limit: grant.amount })
  const before = stakesOf(account, grantSeq).length
  const clawedBack = target - before * account.unit
  const detail = { ...operation.detail, ...reasonOf(reason), grantSeq, target, clawedBack }
  if (clawedBack > 0) takeBack(account, grantSeq, clawedBack / account.unit, detail)
  if (clawedBack < 0) giveBack(account, grant, -clawedBack / account.unit, detail)
}

const stakesOf = (account: Account, grantSeq: number): Stake[] =>
  account.stakes.filter((stake) => stake.grantSeq === grantSeq)

function takeBack(account: Account, grantSeq: number, count: number, detail: JsonObject): void {
  const moved: number[] = []
  let owed = 0
  for (let n = 0; n < count; n += 1) {
    const lapsed = account.lapses.filter((seq) => seq === grantSeq).length
    const counted = stakesOf(account, grantSeq).filter(({ from }) => from === 'lapsed').length
    const [own] = freeOf(account, grantSeq)
    const [other] = free(account)
    const index = own ?? other
    if (counted < lapsed) account.stakes.push({ grantSeq, from: 'lapsed', index: null })
    else if (index === undefined) owed += 1
    else {
      moved.push(index)
      take(account, [index])
    }
    if (counted < lapsed) continue
    const from = own === undefined ? 'rest' : 'grant'
    account.stakes.push({ grantSeq, from, index: own ?? null })
  }
  const refundSeq = writeTaken(account, { moved, owed }, detail)
  account.refunds.push({ chargeSeq: grantSeq, refundSeq, amount: count * account.unit })
}

/** What is free goes, first payer first, and what is missing is owed. */
function collect(account: Account, { amount, reason, detail }: Of<'collect'>): void {
  const count = amount / account.unit
  const moved = free(account).slice(0, count)
  take(account, moved)
  const told = { ...detail, ...reasonOf(reason), clawedBack: amount }
  writeTaken(account, { moved, owed: count - moved.length }, told)
}

function writeTaken(
  account: Account,
  { moved, owed }: { readonly moved: readonly number[]; readonly owed: number },
  detail: JsonObject,
): number {
  account.owed += owed
  if (BigInt(account.owed) * BigInt(account.unit) > MOST_CREDITS) {
    throw refusal('limit_exceeded', { limit: Number(MOST_CREDITS) })
  }
  const row = { type: 'claw_back', detail: { ...detail, debt: owed * account.unit } } as const
  const seq = write(account, row, moved, -1)
  if (owed === 0) return seq
  const { debt, balance } = figuresOf(account)
  announce(account, seq, 'account.in_debt', { debt, balance })
  return seq
}

/** What came out of the grant first, then what came from elsewhere, in a grant of its own. */
function giveBack(account: Account, grant: Grant, count: number, detail: JsonObject): void {
  const rank = { grant: 0, rest: 1, lapsed: 2 }
  const { grantSeq } = grant
  const back = stakesOf(account, grantSeq)
    .sort((a, b) => rank[a.from] - rank[b.from])
    .slice(0, count)
  const returned = back.filter(({ from }) => from !== 'lapsed').length
  refuseOverflow(account, returned)
  account.stakes = account.stakes.filter((stake) => !back.includes(stake))
  const moved = back.flatMap(({ index }) => index ?? [])
  for (const index of moved) at(account, index).isGone = false
  if (returned > moved.length) {
    const isOver = grant.expiresAtMs !== null && grant.expiresAtMs <= account.nowMs
    const amount = (returned - moved.length) * account.unit
    const expiresAtMs = isOver ? null : grant.expiresAtMs
    moved.push(...make(account, { ...grant, amount, expiresAtMs }))
  }
  const refundSeq = write(account, { type: 'reinstate', detail }, moved, 1)
  account.refunds.push({ chargeSeq: grantSeq, refundSeq, amount: -count * account.unit })
}

function activeReserve(account: Account, holdSeq: number): Reserve {
  const reserve = account.reserves.find((r) => r.holdSeq === holdSeq)
  if (!reserve) throw refusal('hold_not_found')
  if (reserve.status !== 'active') throw refusal('hold_not_active', { holdStatus: reserve.status })
  return reserve
}

/** The next free credits, or 402; `beside` counts those that are there for the purpose already. */
function firstFree(account: Account, count: number, beside = 0): number[] {
  const available = free(account)
  if (count > available.length) {
    const { unit } = account
    const figures = {
      required: (count + beside) * unit,
      available: (available.length + beside) * unit,
    }
    throw refusal('insufficient_credits', figures)
  }
  return available.slice(0, count)
}

function priceOf(account: Account, quote: Quote): { count: number; detail: Priced['detail'] } {
  const { tierExpiresAtMs, nowMs } = account
  const isMember = tierExpiresAtMs === null || nowMs < tierExpiresAtMs
  const { amount, detail } = quote(isMember ? account.tier : null)
  return { count: amount / account.unit, detail }
}

function refuseOverflow(account: Account, count: number): void {
  const there = account.credits.filter((credit) => !credit.isGone).length
  const total = BigInt(there + count) * BigInt(account.unit)
  if (total > MOST_CREDITS) throw refusal('limit_exceeded', { limit: Number(MOST_CREDITS) })
}

const reasonOf = (reason: string | null) => (reason === null ? null : { reason })

const refusal = (code: ErrorCode, fields: ErrorFields = {}): AppError =>
  new AppError(code, code, fields)
