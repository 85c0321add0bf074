import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { Changes, ChargeContext, Context, RefundWrite } from '../../src/ledger/decision.js'
import type { AccountState, Hold, Lot, Row } from '../../src/ledger/model.js'
import type { OutboxEvent } from '../../src/ledger/outbox.js'

/** What a database would hold of one account. */
export type Books = {
  readonly state: AccountState | null
  readonly rows: readonly Row[]
  readonly lots: ReadonlyMap<number, Lot>
  readonly holds: ReadonlyMap<number, Hold>
  readonly refunds: readonly RefundWrite[]
  readonly events: readonly OutboxEvent[]
}

export const emptyBooks = (): Books => ({
  state: null,
  rows: [],
  lots: new Map(),
  holds: new Map(),
  refunds: [],
  events: [],
})

/** The books after a decision: only what the changes name is written. */
export const post = (books: Books, state: AccountState, changes: Changes): Books => ({
  state,
  rows: [...books.rows, ...changes.rows],
  lots: new Map([...books.lots, ...changes.lots.map((lot) => [lot.grantSeq, lot] as const)]),
  holds: new Map([...books.holds, ...changes.holds.map((h) => [h.holdSeq, h] as const)]),
  refunds: [...books.refunds, ...changes.refunds],
  events: [...books.events, ...changes.events],
})

/** The account as it would be read back: figures, live lots in burn-down order, active holds. */
export function readBack(books: Books): AccountState | null {
  if (!books.state) return null
  const lots = [...books.lots.values()].filter((lot) => lot.remaining > 0)
  const holds = [...books.holds.values()].filter((hold) => hold.status === 'active')
  const rank = (lot: Lot) => [lot.priority, lot.expiresAtMs ?? 1e300, lot.grantSeq]
  lots.sort((a, b) => {
    const difference = rank(a).map((figure, index) => figure - (rank(b)[index] ?? 0))
    return difference.find((d) => d !== 0) ?? 0
  })
  return { ...books.state, lots, holds: holds.sort((a, b) => a.holdSeq - b.holdSeq) }
}

/** All that a decision may need beside the state. */
export function contextOf(books: Books): Context {
  const telling = books.rows.filter(({ type }) => TELLING.has(type))
  const charges = new Map(books.rows.map((row) => [row.seq, chargeOf(books, row, telling)]))
  const settled = [...books.holds].filter(([, hold]) => hold.status !== 'active')
  return { charges, settledHolds: new Map(settled), lots: books.lots }
}

/** The rows that tell what became of a grant. */
const TELLING: ReadonlySet<string> = new Set(['claw_back', 'reinstate', 'expire', 'revoke'])

/** A row as refunds and claw-backs find it. */
function chargeOf(books: Books, row: Row, telling: readonly Row[]): ChargeContext {
  const refunds = books.refunds.filter((r) => r.chargeSeq === row.seq)
  const refunded = refunds.reduce((sum, r) => sum + r.amount, 0)
  if (!books.lots.has(row.seq)) return { row, refunded, past: null }
  const past = { taken: 0, takenFromGrant: 0, lapsed: 0 }
  for (const { type, amount, parts, detail } of telling) {
    const moved = total(parts.filter((p) => p.grantSeq === row.seq).map((p) => p.amount))
    if (type === 'expire' || type === 'revoke') past.lapsed -= moved
    else if (detail?.grantSeq === row.seq) {
      past.taken -= amount
      past.takenFromGrant -= moved
      if (type === 'claw_back') past.taken += Number(detail.debt)
    }
  }
  return { row, refunded, past }
}

/** Credits of these rows' parts are only reserved or freed: the balance stays. */
const BESIDE_THE_BALANCE: ReadonlySet<string> = new Set(['hold', 'release', 'hold_expire'])

/** I1, I2 and I9 of the books of one account; throws at the first breach. */
export function audit(books: Books): void {
  const { state } = books
  if (!state) return
  auditChain(books.rows, state)
  const lots = [...books.lots.values()]
  const active = [...books.holds.values()].filter((hold) => hold.status === 'active')
  assert.equal(total(lots.map((lot) => lot.remaining)), state.balance, 'lots make the balance')
  assert.equal(total(active.map((hold) => hold.amount)), state.held, 'holds make what is held')
  assert.ok(state.held >= 0 && state.held <= state.balance, 'held is within the balance')
  assert.ok(state.debt === 0 || state.balance === state.held, 'no debt while credits are free')
  for (const lot of lots) auditLot(lot, books, active)
  for (const hold of books.holds.values()) auditHold(hold, books.rows)
  auditRefunds(books)
}

function auditChain(rows: readonly Row[], state: AccountState): void {
  let before = { balance: 0, ms: 0 }
  for (const [index, row] of rows.entries()) {
    assert.equal(row.seq, index + 1, 'seq has no gap')
    assert.equal(row.balanceAfter, before.balance + row.amount, 'the chain holds')
    assert.ok(row.createdAtMs >= before.ms, 'time never goes back')
    assert.ok(row.balanceAfter >= row.heldAfter && row.heldAfter >= 0 && row.debtAfter >= 0)
    const parts = total(row.parts.map((part) => part.amount))
    if (!BESIDE_THE_BALANCE.has(row.type)) assert.equal(parts, row.amount, 'parts make the amount')
    before = { balance: row.balanceAfter, ms: row.createdAtMs }
  }
  const last = rows.at(-1)
  assert.equal(state.seq, rows.length)
  assert.equal(state.balance, last?.balanceAfter ?? 0, 'the newest row tells the balance')
  assert.equal(state.held, last?.heldAfter ?? 0, 'the newest row tells what is held')
}

/** What a grant was given is what left it and what remains. */
function auditLot(lot: Lot, { rows }: Books, active: readonly Hold[]): void {
  const moving = rows.filter((row) => !BESIDE_THE_BALANCE.has(row.type))
  const parts = moving.flatMap((row) => row.parts.filter((p) => p.grantSeq === lot.grantSeq))
  const left = total(parts.slice(1).map((part) => -part.amount))
  assert.equal(parts[0]?.amount, lot.amount, 'the first row of a grant gives its amount')
  assert.equal(lot.amount, left + lot.remaining, 'no credit of a grant is lost or made')
  assert.ok(lot.remaining >= 0 && lot.remaining <= lot.amount)
  const reserved = active.flatMap((hold) => hold.parts.filter((p) => p.grantSeq === lot.grantSeq))
  assert.equal(lot.held, total(reserved.map((part) => part.amount)), 'holds make what a lot holds')
  assert.ok(parts.every((part) => part.source === lot.source))
}

/** A hold is settled once, and what it reserved is what it took and what it gave back. */
function auditHold(hold: Hold, rows: readonly Row[]): void {
  const types = { captured: 'capture', released: 'release', expired: 'hold_expire' } as const
  const ends = rows.filter(
    (row) =>
      row.detail?.holdSeq === hold.holdSeq && Object.values<string>(types).includes(row.type),
  )
  assert.equal(total(hold.parts.map((part) => part.amount)), hold.amount)
  if (hold.status === 'active') {
    assert.deepEqual([ends.length, hold.settledSeq, hold.captured], [0, null, 0])
    return
  }
  const [end] = ends
  assert.equal(ends.length, 1, 'a hold is settled once')
  assert.deepEqual([end?.seq, end?.type], [hold.settledSeq, types[hold.status]])
  assert.equal(hold.captured, end?.type === 'capture' ? Math.abs(end.amount) : 0)
}

/** Debt comes by claw-backs and goes by payments alone. */
export function auditDebt({ rows, state }: Books): void {
  let debt = 0
  for (const { type, amount, detail, debtAfter } of rows) {
    if (type === 'claw_back') debt += Number(detail?.debt)
    if (type === 'debt_payment') debt += amount
    assert.equal(debtAfter, debt, 'the rows tell the debt')
  }
  assert.equal(state?.debt ?? 0, debt, 'and the last of them what is left')
}

function auditRefunds(books: Books): void {
  const { rows, refunds } = books
  for (const { chargeSeq, refundSeq, amount } of refunds) {
    const charge = rows.find((row) => row.seq === chargeSeq)
    const lot = books.lots.get(chargeSeq)
    if (lot) {
      const row = rows.find((r) => r.seq === refundSeq)
      const clawed = total(refunds.filter((r) => r.chargeSeq === chargeSeq).map((r) => r.amount))
      assert.ok(clawed >= 0 && clawed <= lot.amount, 'no grant is clawed back beyond itself')
      assert.equal(row?.type, amount > 0 ? 'claw_back' : 'reinstate')
      assert.deepEqual([row?.detail?.grantSeq, row?.detail?.clawedBack], [chargeSeq, amount])
      continue
    }
    const given = total(refunds.filter((r) => r.chargeSeq === chargeSeq).map((r) => r.amount))
    assert.ok(given <= -(charge?.amount ?? 0), 'no charge is refunded beyond itself')
    const refund = rows.find((row) => row.seq === refundSeq)
    assert.deepEqual([refund?.type, refund?.amount], ['refund', amount])
  }
}

/** Exact beyond 2^53, where a sum that is too large must not look right. */
function total(amounts: readonly number[]): number {
  const sum = amounts.reduce((so, amount) => so + BigInt(amount), 0n)
  assert.ok(isDeepStrictEqual(BigInt(Number(sum)), sum))
  return Number(sum)
}

/** Freezes a value all through, so that whoever changes it fails. */
export function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const inner of value instanceof Map ? value.values() : Object.values(value)) freeze(inner)
  return value
}
