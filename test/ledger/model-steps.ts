import fc from 'fast-check'
import { AppError } from '../../src/errors.js'
import type {
  Operation,
  OperationKind,
  Priced,
  Request,
  TransferPart,
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

/** Kinds with how often they come; `owe` makes a debt, as a claw-back of spent credits will. */
const WEIGHTS = {
  open: 1,
  close: 0.3,
  freeze: 0.7,
  unfreeze: 3,
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
  owe: 3,
} as const satisfies Record<OperationKind | 'owe', number>

export type Step = {
  readonly kind: OperationKind | 'owe'
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
  run: { index: number; unit: number; nowMs: number; inTransit: readonly Transit[] },
): Operation {
  const { kind } = step
  const accountId = ACCOUNTS[step.account] ?? ACCOUNTS[0]
  const request: Request = {
    accountId,
    key: `key-${run.index}`,
    digest: `digest-${run.index}`,
    actor: 'tester',
    requestId: `request-${run.index}`,
    metadata: step.isWhole ? { step: run.index } : null,
  }
  const ofSome = Math.max(1, step.amount) * run.unit
  const expiresAtMs = step.isLasting ? null : gridMs(run.nowMs) + (step.grid - 2) * GRID_MS
  const reason = step.isWhole ? 'because' : null
  switch (kind) {
    case 'open':
      return { ...request, kind, signupBonus: step.amount * run.unit }
    case 'membership':
      return { ...request, kind, tier: step.isWhole ? 'pro' : null, tierExpiresAtMs: expiresAtMs }
    case 'charge':
      return { ...request, kind, action: actionOf(step), quote: quoteOf(step, run.unit) }
    case 'grant': {
      const source = (['monthly', 'bonus', 'purchased'] as const)[step.source] ?? 'bonus'
      const { priority } = step
      return { ...request, kind, amount: ofSome, source, priority, expiresAtMs, reason }
    }
    case 'refund': {
      const amount = step.isWhole ? null : ofSome
      return { ...request, kind, chargeSeq: rowSeq(step, books), amount, reason }
    }
    case 'hold': {
      const ttlMs = gridMs(run.nowMs) + (step.grid + 1) * GRID_MS - run.nowMs
      return { ...request, kind, action: actionOf(step), quote: quoteOf(step, run.unit), ttlMs }
    }
    case 'capture': {
      const quote = step.isWhole ? null : quoteOf(step, run.unit)
      return { ...request, kind, holdSeq: nth([...books.holds.keys()], step), quote }
    }
    case 'release':
      return { ...request, kind, holdSeq: nth([...books.holds.keys()], step) }
    case 'extend': {
      const ttlMs = gridMs(run.nowMs) + step.grid * GRID_MS - run.nowMs + GRID_MS
      return { ...request, kind, holdSeq: nth([...books.holds.keys()], step), ttlMs }
    }
    case 'adjustment':
      return { ...request, kind, amount: step.isWhole ? ofSome : -ofSome, reason: 'audit' }
    case 'revoke':
      return { ...request, kind, grantSeq: nth([...books.lots.keys()], step), reason }
    case 'transfer_out':
      return { ...request, kind, to: 'bob', amount: ofSome }
    case 'transfer_in':
    case 'transfer_return': {
      const transit = run.inTransit[step.which % Math.max(1, run.inTransit.length)]
      if (!transit) return { ...request, kind: 'sweep' }
      return { ...request, kind, from: transit.from, parts: transit.parts }
    }
    case 'owe':
    case 'sweep':
      return { ...request, kind: 'sweep' }
    default:
      return { ...request, kind }
  }
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

/** The seq that is `which` places before the newest, going round; now and then one that isn't there. */
const nth = (seqs: readonly number[], { which }: Step): number =>
  which === 12 ? 100_000 : (seqs.toReversed()[which % Math.max(1, seqs.length)] ?? 100_000)
