import assert from 'node:assert/strict'
import type { Decision } from '../../src/ledger/decision.js'
import type { AccountState, Operation } from '../../src/ledger/model.js'
import { decide } from '../../src/ledger/rules.js'
import { holdOf, play, viewOf } from './model.js'
import type { Account } from './model-account.js'
import {
  audit,
  auditDebt,
  type Books,
  contextOf,
  emptyBooks,
  freeze,
  post,
  readBack,
} from './model-books.js'
import { ACCOUNTS, operationOf, START_MS, type Step, type Transit } from './model-steps.js'
import type { Rules } from './story.js'

/** A few accounts, a clock, and what is on its way between them; the first two are open. */
export type World = {
  readonly unit: number
  nowMs: number
  readonly books: Map<string, Books>
  /** The plain model of the same accounts, where it is played too. */
  readonly model: Map<string, Account>
  readonly inTransit: Transit[]
  readonly rules: Pick<Rules, 'decide'>
}

/** So many units are few. */
const FEW = 6

export function createWorld(unit: number, rules: World['rules'] = { decide }): World {
  const maps = { books: new Map(), model: new Map() }
  const world: World = { unit, nowMs: START_MS, ...maps, inTransit: [], rules }
  for (const accountId of ACCOUNTS) world.books.set(accountId, emptyBooks())
  for (const accountId of ACCOUNTS.slice(0, 2)) {
    const request = { accountId, key: 'opening', digest: 'opening', actor: 'tester' }
    const rest = { requestId: null, metadata: null, kind: 'open', signupBonus: 0 } as const
    playBoth(world, { ...request, ...rest })
  }
  return world
}

export const booksOf = (world: World, accountId: string): Books =>
  world.books.get(accountId) ?? emptyBooks()

export const accountOf = (step: Step): string => ACCOUNTS[step.account] ?? ACCOUNTS[0]

/** The operation that a step stands for, given what has happened so far. */
export const resolve = (world: World, step: Step, index: number): Operation =>
  freeze(operationOf(step, booksOf(world, accountOf(step)), { ...world, index }))

export const sweepOf = (accountId: string): Operation => ({
  accountId,
  key: 'sweep',
  digest: 'sweep',
  actor: 'sweeper',
  requestId: null,
  metadata: null,
  kind: 'sweep',
})

/** Decides by the rules alone, on the state as it would be read back, and posts the result. */
export function playRules(world: World, operation: Operation): Decision {
  const books = freeze(booksOf(world, operation.accountId))
  const decision = decide(readBack(books), operation, contextOf(books), world.nowMs)
  if (decision.isApplied) keep(world, operation, decision.state, decision.changes)
  return decision
}

/** Decides by the rules and by the model, and compares all there is; tells how it ended. */
export function playBoth(world: World, operation: Operation): string {
  const { accountId } = operation
  const books = freeze(booksOf(world, accountId))
  const before = world.model.get(accountId) ?? null
  const { unit, nowMs } = world
  const played = play(before, operation, nowMs, { unit, low: FEW })
  const told = { lowBalanceCredits: FEW * unit }
  const decision = freeze(world.rules.decide(books.state, operation, contextOf(books), nowMs, told))
  if (!decision.isApplied) {
    assert.equal(decision.error.code, played.error?.code ?? 'applied')
    assert.deepEqual(decision.error.fields, played.error?.fields)
    return decision.error.code
  }
  const { account, error } = played
  assert.equal('applied', error?.code ?? 'applied')
  assert.ok(account)
  const { state, changes } = decision
  assert.deepEqual(changes.rows, account.rows.slice(books.rows.length))
  assert.deepEqual(state, viewOf(account))
  assert.deepEqual(changes.refunds, account.refunds)
  assert.deepEqual(changes.pending, account.pending)
  assert.deepEqual(changes.events, account.events)
  const after = keep(world, operation, state, changes)
  assert.deepEqual(readBack(after), state, 'what is kept is what would be read back')
  const reserves = account.reserves.map((reserve) => holdOf(account, reserve))
  assert.deepEqual([...after.holds.values()], reserves)
  audit(after)
  auditDebt(after)
  world.model.set(accountId, account)
  return 'applied'
}

function keep(
  world: World,
  { accountId }: Operation,
  state: AccountState,
  changes: Parameters<typeof post>[2],
): Books {
  const after = post(booksOf(world, accountId), state, changes)
  world.books.set(accountId, after)
  for (const { payload } of changes.pending) world.inTransit.push(payload as Transit)
  return after
}
