import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { type AppError, ERRORS } from '../../src/errors.js'
import type { Operation, Outcome, Row } from '../../src/ledger/model.js'
import { decide } from '../../src/ledger/rules.js'
import {
  audit,
  auditDebt,
  type Books,
  contextOf,
  emptyBooks,
  readBack,
} from '../ledger/model-books.js'
import { explain } from './explain.js'
import type { Write } from './fake-database.js'

/** One call of `submit`, from its beginning to its answer. */
export type Call = {
  readonly operation: Operation
  readonly sent: Instant
  answered: Instant | null
  answer: { readonly outcome: Outcome } | { readonly error: AppError } | null
}

export type Instant = { readonly step: number; readonly databaseMs: number }

/** Answers after which nothing has been done; other 5xx leave it open. */
const NOTHING_DONE = new Set(['overloaded', 'maintenance', 'database_unavailable'])
export const codeOf = (call: Call): string =>
  call.answer && 'error' in call.answer ? call.answer.error.code : 'applied'
export const isUnknown = (call: Call): boolean =>
  call.answer !== null &&
  'error' in call.answer &&
  ERRORS[call.answer.error.code]?.[0] >= 500 &&
  !NOTHING_DONE.has(call.answer.error.code)

export type History = ReturnType<typeof createHistory>

/** Everything that was asked, answered and written, and whether it fits together. */
export function createHistory(now: () => Instant, databaseSlackMs: () => number) {
  const calls: Call[] = []
  const timeline = new Map<string, { step: number; books: Books }[]>()
  const lost = new Set<Row>()
  const lostKeys = new Set<string>()
  const failures: unknown[] = []

  /** The code under test must not catch what fails here: it is kept and thrown later. */
  const keep = (act: () => void) => {
    try {
      act()
    } catch (error) {
      failures.push(error)
    }
  }

  const entries = (accountId: string) => {
    const list = timeline.get(accountId) ?? [{ step: -1, books: emptyBooks() }]
    timeline.set(accountId, list)
    return list
  }
  const add = (accountId: string, books: Books) =>
    entries(accountId).push({ step: now().step, books })

  /** All that the account was between two instants. */
  const during = (accountId: string, from: Instant, to: Instant): Books[] => {
    const list = entries(accountId)
    const first = list.findLastIndex(({ step }) => step < from.step)
    return list.slice(Math.max(0, first)).flatMap((e) => (e.step <= to.step ? [e.books] : []))
  }

  function onWrite(write: Write): void {
    const asked = calls.filter(({ operation }) => operation.accountId === write.accountId)
    const between = explain(write, [...new Set(asked.map(({ operation }) => operation))])
    assert.ok(between.length > 0, `a write to ${write.accountId} is nothing that was asked (I8)`)
    for (const books of [...between, write.after]) add(write.accountId, books)
  }

  function check(call: Call): void {
    const { operation, sent, answered, answer } = call
    if (!answer || !answered) return
    const window = during(operation.accountId, sent, answered)
    if ('outcome' in answer) {
      checkOutcome(window, operation, answer.outcome)
      return
    }
    const { error } = answer
    const status = ERRORS[error.code]?.[0]
    assert.ok(status, `an undocumented answer: ${error}`)
    if (status >= 500) {
      const isPoison = operation.metadata?.isPoison === true
      assert.ok(isPoison || error.code !== 'internal', `${error}: ${error.cause}`)
      return
    }
    checkRefusal(window, call, { error, from: sent, to: answered, slackMs: databaseSlackMs() })
  }

  return {
    calls,
    add,
    onWrite: (write: Write) => keep(() => onWrite(write)),
    keep,
    /** Throws the first promise that was seen broken. */
    complain() {
      if (failures.length > 0) throw failures[0]
    },
    onLost(rows: readonly Row[]) {
      for (const row of rows) {
        lost.add(row)
        lostKeys.add(nameOf(row))
      }
    },
    check: (call: Call) => keep(() => check(call)),
    finish: (books: (accountId: string) => Books) => finish(calls, books, lost, lostKeys),
  }
}

const nameOf = ({ accountId, key }: { accountId: string; key: string | null }) =>
  `${accountId} ${key}`

function checkOutcome(window: readonly Books[], operation: Operation, outcome: Outcome): void {
  const { row, state, isReplay } = outcome
  const fitting = window.find(
    (books) =>
      (isReplay || isDeepStrictEqual(readBack(books), state)) &&
      (row === null || books.rows.some((r) => isDeepStrictEqual(r, row))),
  )
  assert.ok(fitting, `${operation.kind} ${operation.key}: the account was never like this (I5, I8)`)
  if (row) assert.deepEqual([row.key, row.digest], [operation.key, operation.digest])
}

type Refused = {
  readonly error: AppError
  readonly from: Instant
  readonly to: Instant
  readonly slackMs: number
}

function checkRefusal(window: readonly Books[], { operation }: Call, refused: Refused): void {
  const { error } = refused
  const own = (books: Books) => books.rows.find((row) => row.key === operation.key)
  if (error.code === 'idempotency_key_reused') {
    const isReused = window.some((b) => (own(b)?.digest ?? operation.digest) !== operation.digest)
    assert.ok(isReused, `${operation.key} was not used for something else (I7)`)
    return
  }
  const isRight = window.some((books) => !own(books) && wouldRefuse(books, operation, refused))
  assert.ok(isRight, `${operation.kind} ${operation.key}: ${error} was never right (I8)`)
}

function wouldRefuse(books: Books, operation: Operation, refused: Refused): boolean {
  const { error, from, to, slackMs } = refused
  const leastMs = Math.min(from.databaseMs, to.databaseMs) - slackMs
  const mostMs = Math.max(from.databaseMs, to.databaseMs) + slackMs
  const state = readBack(books)
  const ends = [...(state?.lots ?? []), ...(state?.holds ?? [])].map((part) => part.expiresAtMs)
  const times = [leastMs, mostMs]
  for (const endMs of [...ends, state?.tierExpiresAtMs ?? null]) {
    if (endMs !== null && endMs >= leastMs && endMs <= mostMs) times.push(endMs, endMs - 1)
  }
  return times.some((atMs) => {
    const decision = decide(state, operation, contextOf(books), atMs)
    if (decision.isApplied || decision.error.code !== error.code) return false
    return isDeepStrictEqual(decision.error.fields, error.fields)
  })
}

/** What must hold when everything is quiet. */
function finish(
  calls: readonly Call[],
  books: (accountId: string) => Books,
  lost: ReadonlySet<Row>,
  lostKeys: ReadonlySet<string>,
): void {
  const byKey = new Map<string, Call[]>()
  for (const call of calls) {
    const name = nameOf(call.operation)
    byKey.set(name, [...(byKey.get(name) ?? []), call])
  }
  for (const [name, own] of byKey) {
    const [{ operation }] = own as [Call]
    const rows = books(operation.accountId).rows.filter((row) => row.key === operation.key)
    assert.ok(rows.length <= 1, `${name} has one effect at most (I3)`)
    if (!lostKeys.has(name)) checkKey(own, rows[0])
  }
  for (const accountId of new Set(calls.map(({ operation }) => operation.accountId))) {
    audit(books(accountId))
    auditDebt(books(accountId))
    checkEvents(books(accountId))
    checkOrder(
      calls.filter(({ operation }) => operation.accountId === accountId),
      lost,
    )
  }
}

/** Each event tells of a row that is there; those asked for, of the first row of an operation. */
function checkEvents({ rows, events }: Books): void {
  for (const { id, type, data } of events) {
    const row = rows.find(({ seq }) => seq === data.seq)
    assert.equal(id, `${row?.seq}:${type}`, 'an event is named by its row')
    if (type === 'test.done') assert.ok(row?.key, 'and what was asked for comes once, with the key')
  }
}

/** All uses of one key against the row that is, or is not, there. */
function checkKey(calls: readonly Call[], row: Row | undefined): void {
  for (const call of calls) {
    const { operation, answer } = call
    const name = `${operation.kind} ${operation.key}`
    if (answer && 'outcome' in answer && answer.outcome.row) {
      assert.deepEqual(row, answer.outcome.row, `${name}: acknowledged, so it is there (I5, I7)`)
    }
  }
  if (!row) return
  const same = calls.filter(({ operation }) => operation.digest === row.digest)
  const isTold = same.some((call) => codeOf(call) === 'applied' || isUnknown(call))
  assert.ok(isTold, `${row.key}: refused, and done all the same (I4)`)
  const fresh = same.flatMap(({ answer }) =>
    answer && 'outcome' in answer && !answer.outcome.isReplay ? (answer.outcome.row ?? []) : [],
  )
  assert.ok(fresh.length <= 1, `${row.key}: done once, told as new once (I7)`)
  const first = Math.min(...same.filter(hasRow).map(answeredStep))
  for (const call of calls) {
    if (call.sent.step <= first) continue
    const code = codeOf(call)
    const isSame = call.operation.digest === row.digest
    const isRight = code === (isSame ? 'applied' : 'idempotency_key_reused')
    const is5xx = call.answer && 'error' in call.answer && call.answer.error.status >= 500
    assert.ok(isRight || is5xx, `${row.key}: used before, answered ${code} (I7)`)
  }
}

const hasRow = ({ answer }: Call): boolean =>
  answer !== null && 'outcome' in answer && answer.outcome.row !== null

const answeredStep = (call: Call): number => call.answered?.step ?? Number.POSITIVE_INFINITY

/** Acknowledged before another was sent: it has the smaller seq. */
function checkOrder(calls: readonly Call[], lost: ReadonlySet<Row>): void {
  const done = calls.flatMap((call) => {
    const { answer } = call
    if (!answer || !('outcome' in answer) || answer.outcome.isReplay || !answer.outcome.row)
      return []
    const { row } = answer.outcome
    const isLost = [...lost].some((other) => other.seq === row.seq && other.key === row.key)
    return isLost ? [] : [{ sent: call.sent.step, answered: answeredStep(call), seq: row.seq }]
  })
  for (const a of done) {
    for (const b of done) {
      if (a.answered < b.sent) assert.ok(a.seq < b.seq, 'order of real time is order of seq (I8)')
    }
  }
}
