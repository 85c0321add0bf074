import assert from 'node:assert/strict'
import type { AppError } from '../../src/errors.js'
import type { Context, PendingWork } from '../../src/ledger/decision.js'
import type {
  AccountState,
  GrantSource,
  Hold,
  Lot,
  Membership,
  Operation,
  Priced,
  Quote,
  Request,
  Row,
  TransferPart,
} from '../../src/ledger/model.js'
import { decide, settled } from '../../src/ledger/rules.js'
import { audit, type Books, contextOf, emptyBooks, freeze, post, readBack } from './model-books.js'

type Optional = Pick<Request, 'announce'>
export type Ask<T = Operation> = T extends Operation ? Omit<T, keyof Request> & Optional : never

/** One account, told operation by operation; the books are audited after each. */
export type Story = {
  nowMs: number
  /** Applies it; the rows in short, for example `charge -30: #1 -20, #2 -10`. */
  does(ask: Ask, context?: Partial<Context>): string[]
  /** The refusal; anything else, and any effect, fails. */
  refuses(ask: Ask): AppError
  /** As a reader sees it now. */
  readonly now: AccountState
  readonly books: Books
  readonly rows: readonly Row[]
  /** What must follow in other accounts. */
  readonly pending: readonly PendingWork[]
  lot(grantSeq: number): Lot
  hold(holdSeq: number): Hold
  /** What others are told, in short: `4:balance.low`. */
  readonly told: readonly string[]
  /** Makes a debt, as taking back spent credits does. */
  owes(amount: number): void
}

const MAX_AUDITED_ROWS = 100

export const START_MS = 1_700_000_000_000

/** The rules that are tried: the real ones, or a copy with a fault put in. */
export type Rules = { readonly decide: typeof decide; readonly settled: typeof settled }

const REAL: Rules = { decide, settled }

export function createStory(opening: Ask = open(0), { rules = REAL, few = 0 } = {}): Story {
  let books = emptyBooks()
  let pending: readonly PendingWork[] = []
  let count = 0
  const request = (): Request => ({
    accountId: 'ann',
    key: `key-${++count}`,
    digest: `digest-${count}`,
    actor: 'tester',
    requestId: `request-${count}`,
    metadata: { count },
  })
  const decideOn = (ask: Ask, context?: Partial<Context>) => {
    const operation = freeze({ ...request(), ...ask })
    const known = { ...contextOf(freeze(books)), ...context }
    return freeze(
      rules.decide(readBack(books), operation, known, story.nowMs, { lowBalanceCredits: few }),
    )
  }
  const story: Story = {
    nowMs: START_MS,
    does(ask, context) {
      const decision = decideOn(ask, context)
      if (!decision.isApplied) throw decision.error
      books = post(books, decision.state, decision.changes)
      pending = [...pending, ...decision.changes.pending]
      assert.deepEqual(readBack(books), decision.state)
      // The audit looks at all pairs of rows and lots: of a long story, at its start only.
      if (books.rows.length <= MAX_AUDITED_ROWS) audit(books)
      return decision.changes.rows.map(brief)
    },
    refuses(ask) {
      const decision = decideOn(ask)
      assert.ok(!decision.isApplied, `${ask.kind} should have been refused`)
      return decision.error
    },
    get now() {
      assert.ok(books.state)
      return rules.settled(books.state, story.nowMs)
    },
    get books() {
      return books
    },
    get rows() {
      return books.rows
    },
    get pending() {
      return pending
    },
    get told() {
      return books.events.map(({ id }) => id)
    },
    lot: (grantSeq) => found(books.lots.get(grantSeq)),
    hold: (holdSeq) => found(books.holds.get(holdSeq)),
    owes(amount) {
      assert.ok(books.state && books.state.balance === books.state.held)
      books = { ...books, state: { ...books.state, debt: books.state.debt + amount } }
    },
  }
  story.does(opening)
  return story
}

const brief = (row: Row): string => {
  const parts = row.parts.map((part) => `#${part.grantSeq} ${part.amount}`)
  return `${row.type} ${row.amount}${parts.length > 0 ? `: ${parts.join(', ')}` : ''}`
}

/** What the account has: balance, of which held, and debt. */
export const figures = ({ balance, held, debt }: AccountState): number[] => [balance, held, debt]

export const open = (signupBonus: number): Ask => ({ kind: 'open', signupBonus })

type GrantTerms = { source?: GrantSource; priority?: number; expiresAtMs?: number | null }

export const grant = (amount: number, terms: GrantTerms = {}): Ask => {
  const usual = { source: 'purchased', priority: 50, expiresAtMs: null, reason: null } as const
  return { kind: 'grant', amount, ...usual, ...terms }
}

export const price = (amount: number): Quote => {
  return (): Priced => ({ amount, detail: null })
}

export const charge = (amount: number, quote: Quote = price(amount)): Ask => ({
  kind: 'charge',
  action: 'draw',
  quote,
})

export const refund = (chargeSeq: number, amount: number | null = null): Ask => ({
  kind: 'refund',
  chargeSeq,
  amount,
  reason: null,
})

export const hold = (amount: number, ttlMs = 60_000): Ask => ({
  kind: 'hold',
  action: 'draw',
  quote: price(amount),
  ttlMs,
})

/** null: the whole hold. */
export const capture = (holdSeq: number, amount: number | null = null): Ask => ({
  kind: 'capture',
  holdSeq,
  quote: amount === null ? null : price(amount),
})

export const release = (holdSeq: number): Ask => ({ kind: 'release', holdSeq })
export const extend = (holdSeq: number, ttlMs: number): Ask => ({ kind: 'extend', holdSeq, ttlMs })
export const sweep: Ask = { kind: 'sweep' }
export const close: Ask = { kind: 'close' }
export const freezing: Ask = { kind: 'freeze' }
export const unfreezing: Ask = { kind: 'unfreeze' }
export const adjust = (amount: number): Ask => ({ kind: 'adjustment', amount, reason: 'audit' })
export const revoke = (grantSeq: number): Ask => ({ kind: 'revoke', grantSeq, reason: null })
/** `target` in all, whatever was clawed back before. */
export const clawBack = (grantSeq: number, target: number): Ask => ({
  kind: 'claw_back',
  grantSeq,
  target,
  reason: null,
  detail: {},
})

/** Of credits that were granted elsewhere. */
export const collect = (amount: number): Ask => ({
  kind: 'collect',
  amount,
  reason: null,
  detail: {},
})

export const allocate = (
  parts: readonly TransferPart[],
  membership: Membership | null = null,
): Ask => ({ kind: 'allocation', parts, membership, detail: { planId: 'pro' } })

export const send = (amount: number): Ask => ({ kind: 'transfer_out', to: 'bob', amount })

export const receive = (
  parts: readonly TransferPart[],
  kind: 'transfer_in' | 'transfer_return' = 'transfer_in',
): Ask => ({ kind, from: 'bob', parts })

export const join = (tier: string | null, tierExpiresAtMs: number | null): Ask => ({
  kind: 'membership',
  tier,
  tierExpiresAtMs,
})

function found<T>(value: T | undefined): T {
  assert.ok(value !== undefined)
  return value
}
