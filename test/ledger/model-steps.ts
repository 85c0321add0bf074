import fc from 'fast-check'
import { AppError } from '../../src/errors.js'
import {
  GRANT_SOURCES,
  type Operation,
  type OperationKind,
  type Priced,
  type Request,
  type TransferPart,
} from '../../src/ledger/model.js'
import type { Books } from './model-books.js'

/*
 * Random operations. A step says what to try in terms that make sense whatever happened before
 * ("refund the third charge"), so that a failing sequence can be made shorter.
 */

export const ACCOUNTS = ['ann', 'bob', 'cy'] as const
/** Deadlines and expiries lie on a grid, so that many of them fall together. */
const GRID_MS = 5
export const START_MS = 1_000_000

/** Kinds with how often they come. */
const WEIGHTS = {
  open: 1,
  close: 0.3,
  freeze: 1,
  unfreeze: 2,
  membership: 2,
  charge: 10,
  grant: 14,
  refund: 9,
  hold: 12,
  capture: 9,
  release: 4,
  extend: 4,
  sweep: 3,
  adjustment: 4,
  revoke: 4,
  transfer_out: 4,
  transfer_in: 3,
  transfer_return: 1,
  allocation: 3,
  claw_back: 11,
  collect: 2,
} as const satisfies Record<OperationKind, number>

export type Step = {
  readonly kind: OperationKind
  readonly account: number
  readonly waitMs: number
  /** In units of the run. */
  readonly amount: number
  readonly memberAmount: number
  readonly isWhole: boolean
  readonly needsTier: boolean
  /** Which charge, hold or grant, counted from the newest. */
  readonly which: number
  readonly grid: number
  readonly isLasting: boolean
  readonly priority: number
  readonly source: number
  /** Ends a batch, where batches are played. */
  readonly isLast: boolean
}

export const steps = (waitsMs: readonly number[], maxLength: number): fc.Arbitrary<Step[]> =>
  fc.array(stepAfter(waitsMs), { maxLength, size: 'max' })

const stepAfter = (waitsMs: readonly number[]): fc.Arbitrary<Step> =>
  fc.record({
    kind: fc.oneof(
      ...Object.entries(WEIGHTS).map(([kind, weight]) => ({
        weight: weight * 10,
        arbitrary: fc.constant(kind as Step['kind']),
      })),
    ),
    account: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1, 1, 2),
    waitMs: fc.constantFrom(...waitsMs),
    amount: fc.oneof(fc.nat(8), fc.nat(30)),
    memberAmount: fc.nat(12),
    isWhole: fc.boolean(),
    needsTier: fc.nat(5).map((n) => n === 0),
    which: fc.oneof({ weight: 4, arbitrary: fc.nat(3) }, fc.nat(12)),
    grid: fc.nat(12),
    isLasting: fc.boolean(),
    priority: fc.constantFrom(10, 50, 50, 90),
    source: fc.nat(2),
    isLast: fc.nat(4).map((n) => n === 0),
  })

/** What a step asks of the ledger, given what has happened so far. */
export function operationOf(
  step: Step,
  books: Books,
  run: Run & { readonly index: number },
): Operation {
  const accountId = ACCOUNTS[step.account] ?? ACCOUNTS[0]
  const request: Request = {
    accountId,
    key: `key-${run.index}`,
    digest: `digest-${run.index}`,
    actor: 'tester',
    requestId: `request-${run.index}`,
    metadata: step.isWhole ? { step: run.index } : null,
    ...(step.isLasting && { announce: { type: 'test.done', data: { step: run.index } } }),
  }
  const ofSome = Math.max(1, step.amount) * run.unit
  const expiresAtMs = step.isLasting ? null : gridMs(run.nowMs) + (step.grid - 2) * GRID_MS
  const terms = { ofSome, expiresAtMs, reason: step.isWhole ? 'because' : null }
  const ask = askAboutHold(step, books, run) ?? askAboutCredits(step, books, { ...run, ...terms })
  return { ...request, ...ask }
}

type Run = { readonly unit: number; readonly nowMs: number; readonly inTransit: readonly Transit[] }
type Ask<T = Operation> = T extends Operation ? Omit<T, keyof Request> : never

function askAboutHold(step: Step, books: Books, { unit, nowMs }: Run): Ask | null {
  const { kind } = step
  const holdSeq = nth([...books.holds.keys()], step)
  const ttlMs = gridMs(nowMs) + (step.grid + 1) * GRID_MS - nowMs
  const quote = quoteOf(step, unit)
  if (kind === 'hold') return { kind, action: actionOf(step), quote, ttlMs }
  if (kind === 'capture') return { kind, holdSeq, quote: step.isWhole ? null : quote }
  if (kind === 'release') return { kind, holdSeq }
  if (kind === 'extend') return { kind, holdSeq, ttlMs }
  return null
}

type Terms = {
  readonly ofSome: number
  readonly expiresAtMs: number | null
  readonly reason: string | null
}

function askAboutCredits(step: Step, books: Books, run: Run & Terms): Ask {
  const { kind, isWhole } = step
  const { ofSome, expiresAtMs, reason, inTransit, unit } = run
  if (kind === 'open') {
    const most = Math.floor(Number.MAX_SAFE_INTEGER / unit)
    return { kind, signupBonus: Math.min(step.amount, most) * unit }
  }
  if (kind === 'close') return { kind, ifEmpty: isWhole }
  if (kind === 'freeze' || kind === 'unfreeze') return { kind }
  if (kind === 'membership')
    return { kind, tier: isWhole ? 'pro' : null, tierExpiresAtMs: expiresAtMs }
  if (kind === 'charge') return { kind, action: actionOf(step), quote: quoteOf(step, unit) }
  if (kind === 'grant') {
    const source = GRANT_SOURCES[step.source] ?? 'bonus'
    const lot = { amount: ofSome, source, priority: step.priority, expiresAtMs }
    return { kind, ...lot, reason, ...(step.isWhole && { detail: { purchaseId: 'p' } }) }
  }
  if (kind === 'claw_back') return { kind, ...clawBackOf(step, books, unit), reason }
  if (kind === 'collect') return { kind, amount: ofSome, reason, detail: { purchaseId: 'p' } }
  if (kind === 'allocation') return { kind, ...allocationOf(step, run) }
  if (kind === 'refund') {
    return { kind, chargeSeq: rowSeq(step, books), amount: isWhole ? null : ofSome, reason }
  }
  if (kind === 'adjustment') return { kind, amount: isWhole ? ofSome : -ofSome, reason: 'audit' }
  if (kind === 'revoke') return { kind, grantSeq: nth([...books.lots.keys()], step), reason }
  if (kind === 'transfer_out') return { kind, to: 'bob', amount: ofSome }
  const transit = inTransit[step.which % Math.max(1, inTransit.length)]
  const isArrival = kind === 'transfer_in' || kind === 'transfer_return'
  if (!transit || !isArrival) return { kind: 'sweep' }
  return { kind, from: transit.from, parts: transit.parts }
}

/** Mostly of a part of the grant, often of all of it, now and then of more than there was. */
function clawBackOf(step: Step, books: Books, unit: number) {
  const grantSeq = nth([...books.lots.keys()], step)
  const amount = books.lots.get(grantSeq)?.amount ?? 0
  const whole = step.grid === 12 ? amount + unit : amount
  const target = step.isWhole ? whole : Math.min(step.amount * unit, amount)
  return { grantSeq, target, detail: { purchaseId: `p${grantSeq}`, debt: 'none' } }
}

/** None to two lots, and the tier for as long as they last. */
function allocationOf(step: Step, { ofSome, expiresAtMs, unit }: Run & Terms) {
  const lot = { source: 'monthly', priority: step.priority, expiresAtMs } as const
  const parts = [
    { ...lot, amount: ofSome },
    { ...lot, amount: unit },
  ].slice(0, step.which % 3)
  const membership = step.isWhole ? { tier: 'pro', tierExpiresAtMs: expiresAtMs } : null
  return { parts, membership, detail: { planId: 'pro' } }
}

export type Transit = { readonly from: string; readonly parts: readonly TransferPart[] }

const gridMs = (ms: number): number => Math.floor(ms / GRID_MS) * GRID_MS

const actionOf = (step: Step): string | null => (step.isWhole ? 'draw' : null)

/** A price for members, another for the rest; some actions are for members only. */
function quoteOf(step: Step, unit: number) {
  return (tier: string | null): Priced => {
    if (tier === null && step.needsTier) {
      throw new AppError('membership_required', 'for members', { required: 'pro', current: null })
    }
    const count = tier === null ? step.amount : step.memberAmount
    return { amount: count * unit, detail: step.isWhole ? { tier } : null }
  }
}

/** Mostly a charge or capture, now and then a row of another type, or none. */
function rowSeq(step: Step, books: Books): number {
  const paid = books.rows.filter((row) => row.type === 'charge' || row.type === 'capture')
  const rows = step.which < 10 ? paid : books.rows
  return nth(
    rows.map((row) => row.seq),
    step,
  )
}

/** The seq `which` places before the newest, going round; now and then one that isn't there. */
const nth = (seqs: readonly number[], { which }: Step): number =>
  which === 12 ? 100_000 : (seqs.toReversed()[which % Math.max(1, seqs.length)] ?? 100_000)
