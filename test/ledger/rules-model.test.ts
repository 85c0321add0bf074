import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { AppError } from '../../src/errors.js'
import type { Decision } from '../../src/ledger/decision.js'
import type { AccountState, Operation, Row } from '../../src/ledger/model.js'
import { type Answer, planBatch } from '../../src/ledger/plan.js'
import { settled } from '../../src/ledger/rules.js'
import { type Books, contextOf, freeze, post, readBack } from './model-books.js'
import { ACCOUNTS, type Step, steps } from './model-steps.js'
import {
  accountOf,
  booksOf,
  createWorld,
  playBoth,
  playRules,
  resolve,
  sweepOf,
} from './model-world.js'

/** Histories of the first property: about ten seconds of CPU, and five for the other three. */
const HISTORIES = 3000

// LEDGER_SEED=… plays one seed again, LEDGER_RUNS=… more or fewer histories.
const seed = Number(process.env.LEDGER_SEED ?? Date.now() % 2 ** 31)
const numRuns = Number(process.env.LEDGER_RUNS ?? HISTORIES)
assert.ok(Number.isSafeInteger(seed) && Number.isSafeInteger(numRuns) && numRuns > 0)
/** Of the other three properties, whose histories are shorter. */
const FEWER = Math.ceil((numRuns * 2) / 3)
/** So few were asked for that they need not have met everything. */
const isShort = numRuns < HISTORIES
t.comment(`LEDGER_SEED=${seed} LEDGER_RUNS=${numRuns}`)

// Refusals come by the ten thousand; their stacks would take half of the time.
Error.stackTraceLimit = 1

/** Standing still, small steps, and jumps over many expiries. */
const WAITS_MS = [0, 0, 0, 0, 0, 0, 1, 5, 5, 10, 30]
/** One credit as one, or as so many that a few grants, or a few claw-backs, pass 2^53. */
const MANY = [60, 30, 30, 30].map((n) => Math.floor(Number.MAX_SAFE_INTEGER / n))
const units = fc.constantFrom(1, 1, ...MANY, 2 ** 49)

/** What each of the expected outcomes must be met, or it was met by luck; most are by hundreds. */
const MIN_EACH = 8
/** Of an average history, at least. */
const MIN_APPLIED = 10
const MIN_REFUSED = 10

/** What the random histories must meet, or they would prove nothing about it. */
const EXPECTED = {
  open: ['applied', 'account_closed'],
  close: ['applied', 'account_not_found'],
  freeze: ['applied', 'account_closed'],
  unfreeze: ['applied', 'account_closed'],
  membership: ['applied', 'account_closed'],
  charge: ['applied', 'insufficient_credits', 'membership_required', 'account_frozen'],
  grant: ['applied', 'limit_exceeded', 'account_closed', 'account_not_found'],
  refund: ['applied', 'refund_exceeds_charge', 'transaction_not_found', 'limit_exceeded'],
  hold: ['applied', 'insufficient_credits', 'membership_required', 'account_frozen'],
  capture: ['applied', 'insufficient_credits', 'hold_not_active', 'hold_not_found'],
  release: ['applied', 'hold_not_active', 'hold_not_found'],
  extend: ['applied', 'hold_not_active', 'hold_not_found', 'account_frozen'],
  sweep: ['applied', 'account_not_found'],
  adjustment: ['applied', 'insufficient_credits', 'limit_exceeded'],
  revoke: ['applied', 'grant_not_found', 'grant_revoked'],
  transfer_out: ['applied', 'insufficient_credits', 'account_frozen'],
  transfer_in: ['applied'],
  transfer_return: ['applied'],
  allocation: ['applied', 'limit_exceeded', 'account_closed'],
  claw_back: ['applied', 'grant_not_found', 'limit_exceeded', 'account_closed'],
  collect: ['applied', 'account_closed'],
} satisfies Record<Operation['kind'], string[]>

/** Of claw-backs and of what is announced: what each must be met with. */
const EXPECTED_MARKS = [
  'claw_back of its grant',
  'claw_back of the rest',
  'claw_back into debt',
  'claw_back of what had lapsed',
  'claw_back beside what is held',
  'reinstate into its grant',
  'reinstate into a new grant',
  'reinstate of nothing',
  'event test.done',
  'event balance.low',
  'event account.in_debt',
]

/** What is worth counting of what an operation wrote. */
function marksOf(after: Books, before: Books): string[] {
  const rows = after.rows.slice(before.rows.length).flatMap((row) => {
    if (row.type !== 'claw_back' && row.type !== 'reinstate') return []
    const { type, detail, parts } = row
    const own = parts.some((part) => part.grantSeq === detail?.grantSeq)
    const other = parts.some((part) => part.grantSeq !== detail?.grantSeq)
    const isLapsed = Number(detail?.clawedBack) > Number(detail?.debt) - row.amount
    return [
      own && (type === 'claw_back' ? 'of its grant' : 'into its grant'),
      other && (type === 'claw_back' ? 'of the rest' : 'into a new grant'),
      type === 'claw_back' && Number(detail?.debt) > 0 && 'into debt',
      type === 'claw_back' && isLapsed && 'of what had lapsed',
      type === 'claw_back' && row.heldAfter > 0 && 'beside what is held',
      type === 'reinstate' && row.amount === 0 && 'of nothing',
    ].flatMap((mark) => (mark ? [`${type} ${mark}`] : []))
  })
  const events = after.events.slice(before.events.length)
  return [...rows, ...events.map(({ type }) => `event ${type}`)]
}

t.test('outcome, rows, lots and holds equal the plain model after every step', async (t) => {
  const seen = new Map<string, number>()
  const clockGoesBack = [...WAITS_MS, -5]
  playAll(t, numRuns, steps(clockGoesBack, 80), (unit, sequence) => {
    const world = createWorld(unit)
    for (const [index, step] of sequence.entries()) {
      world.nowMs += step.waitMs
      const operation = resolve(world, step, index)
      const known = booksOf(world, operation.accountId)
      const outcome = `${operation.kind} ${playBoth(world, operation)}`
      const after = booksOf(world, operation.accountId)
      for (const what of [outcome, ...marksOf(after, known)]) {
        seen.set(what, (seen.get(what) ?? 0) + 1)
      }
    }
  })
  if (isShort) return
  const ends = Object.entries(EXPECTED).flatMap(([kind, ends]) => ends.map((e) => `${kind} ${e}`))
  const expected = [...ends, ...EXPECTED_MARKS]
  t.same(
    expected.filter((outcome) => (seen.get(outcome) ?? 0) < MIN_EACH),
    [],
    'every kind of operation was met with each of its outcomes',
  )
  const of = (isWanted: (outcome: string) => boolean) =>
    [...seen].reduce((sum, [outcome, count]) => sum + (isWanted(outcome) ? count : 0), 0)
  const isMark = new Set(EXPECTED_MARKS)
  const applied = of((outcome) => outcome.endsWith(' applied'))
  const refused = of((outcome) => !outcome.endsWith(' applied') && !isMark.has(outcome))
  t.ok(applied >= MIN_APPLIED * numRuns, `${applied} operations were applied`)
  t.ok(refused >= MIN_REFUSED * numRuns, `${refused} operations were refused`)
})

/** Plays as many histories as asked, with the seed of this run, and not one fewer. */
function playAll(
  t: { equal(found: number, wanted: number, message: string): boolean },
  runs: number,
  sequences: fc.Arbitrary<Step[]>,
  play: (unit: number, sequence: readonly Step[]) => void,
): void {
  let played = 0
  const property = fc.property(units, sequences, (unit, sequence) => {
    play(unit, sequence)
    played += 1
  })
  fc.assert(property, { seed, numRuns: runs })
  t.equal(played, runs, `${runs} histories`)
}

t.test('when a sweep comes changes no outcome and no row but for its time', async (t) => {
  let sweeps = 0
  playAll(t, FEWER, steps(WAITS_MS, 60), (unit, sequence) => {
    const [swept, unswept] = [createWorld(unit), createWorld(unit)]
    for (const [index, step] of sequence.entries()) {
      for (const world of [swept, unswept]) world.nowMs += step.waitMs
      for (const accountId of ACCOUNTS) {
        if (hasRows(playRules(swept, sweepOf(accountId)))) sweeps += 1
      }
      const operation = resolve(swept, step, index)
      assert.equal(ending(playRules(unswept, operation)), ending(playRules(swept, operation)))
    }
    for (const accountId of ACCOUNTS) {
      playRules(unswept, sweepOf(accountId))
      assert.deepEqual(timeless(booksOf(unswept, accountId)), timeless(booksOf(swept, accountId)))
    }
  })
  t.ok(isShort || sweeps >= FEWER / 2, `${sweeps} sweeps found something due`)
})

t.test('a read before the sweep shows what the sweep will leave', async (t) => {
  let reads = 0
  playAll(t, FEWER, steps(WAITS_MS, 60), (unit, sequence) => {
    const world = createWorld(unit)
    for (const [index, step] of sequence.entries()) {
      world.nowMs += step.waitMs
      const accountId = accountOf(step)
      const { state } = freeze(booksOf(world, accountId))
      const read = state && settled(state, world.nowMs)
      const sweep = playRules(world, sweepOf(accountId))
      if (hasRows(sweep)) reads += 1
      assert.deepEqual(read && unwritten(read), sweep.isApplied ? unwritten(sweep.state) : null)
      playRules(world, resolve(world, step, index))
    }
  })
  t.ok(isShort || reads >= FEWER / 2, `${reads} reads met something due`)
})

t.test('random batches leave the same books as one operation at a time', async (t) => {
  let batches = 0
  playAll(t, FEWER, steps(WAITS_MS, 60), (unit, sequence) => {
    const world = createWorld(unit)
    let batched = new Map(world.books)
    let batch: { operation: Operation; expected: string }[] = []
    for (const [index, step] of sequence.entries()) {
      if (batch.length === 0) world.nowMs += step.waitMs
      const operation = resolve(world, step, index)
      batch.push({ operation, expected: ending(playRules(world, operation)) })
      if (!step.isLast && index < sequence.length - 1) continue
      batched = playBatch(batched, batch, world.nowMs)
      assert.deepEqual(batched, world.books)
      if (batch.length > 1) batches += 1
      batch = []
    }
  })
  t.ok(isShort || batches >= FEWER, `${batches} batches of several operations`)
})

const hasRows = (decision: Decision): boolean =>
  decision.isApplied && decision.changes.rows.length > 0

/** Reads once, decides all, writes once. */
function playBatch(
  before: ReadonlyMap<string, Books>,
  batch: readonly { operation: Operation; expected: string }[],
  nowMs: number,
): Map<string, Books> {
  const entries = batch.map((entry) => ({ ...entry, lookUp: false }))
  const known = (accountId: string) => {
    const books = before.get(accountId)
    assert.ok(books)
    const state = readBack(freeze(books))
    return { state, isFresh: true, rows: new Map(), context: contextOf(books) }
  }
  const plan = planBatch(entries, known, { epoch: 'one', nowMs })
  for (const { entry, answer } of [...plan.answers.values()].flat()) {
    assert.equal(endingOf(answer), entry.expected)
  }
  const after = new Map(before)
  for (const { state, changes } of plan.batch?.accounts ?? []) {
    const books = after.get(state.accountId)
    assert.ok(books)
    after.set(state.accountId, post(books, state, changes))
  }
  return after
}

/** The operation's own row, but for its time, or the code of the refusal. */
function ending(decision: Decision): string {
  if (!decision.isApplied) return decision.error.code
  return untimed(decision.changes.rows.find((row) => row.key !== null) ?? null)
}

function endingOf(answer: Answer): string {
  if (answer.outcome) return untimed(answer.outcome.row)
  return answer.error instanceof AppError ? answer.error.code : String(answer.error)
}

const untimed = (row: Row | null): string => JSON.stringify(row && { ...row, createdAtMs: 0 })

const timeless = (books: Books) => ({
  ...books,
  state: books.state && unwritten(books.state),
  rows: books.rows.map(untimed),
})

/** Without what only a write changes. */
const unwritten = (state: AccountState) => ({ ...state, version: 0, updatedAtMs: 0 })
