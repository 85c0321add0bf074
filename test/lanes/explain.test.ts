import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import type { Operation } from '../../src/ledger/model.js'
import { planBatch } from '../../src/ledger/plan.js'
import { decide } from '../../src/ledger/rules.js'
import { type Books, contextOf, emptyBooks, post, readBack } from '../ledger/model-books.js'
import { explain } from './explain.js'
import { START_MS, type Write } from './fake-database.js'
import { TOLD } from './operations.js'
import { createRandom, type Random } from './random.js'
import { act, charge, grant, request } from './stage.js'

const NOW_MS = START_MS + 1000

/** One by one, as the rules have it; what they refuse or leave as it is adds nothing. */
function onTheWay(before: Books, operations: readonly Operation[]): Books[] {
  const way: Books[] = []
  let books = before
  for (const operation of operations) {
    const decision = decide(readBack(books), operation, contextOf(books), NOW_MS, TOLD)
    if (!decision.isApplied || decision.state.version === (books.state?.version ?? 0)) continue
    books = post(books, decision.state, decision.changes)
    way.push(books)
  }
  return way
}

/** The same in one batch, as the lanes write it. */
function writeOf(before: Books, operations: readonly Operation[]): Write {
  const known = { isFresh: true, rows: new Map(), context: contextOf(before) }
  const { batch } = planBatch(
    operations.map((operation) => ({ operation, lookUp: false })),
    () => ({ ...known, state: readBack(before) }),
    { epoch: '1', nowMs: NOW_MS, told: TOLD },
  )
  const [account] = batch?.accounts ?? []
  assert.ok(account, 'something is written')
  const { state, changes } = account
  return { accountId: 'a', nowMs: NOW_MS, before, after: post(before, state, changes), changes }
}

const hold = (amount: number): Operation => ({
  ...request('a'),
  kind: 'hold',
  action: null,
  quote: () => ({ amount, detail: null }),
  ttlMs: 5000,
})

const membership = (tier: string): Operation => ({
  ...request('a'),
  kind: 'membership',
  tier,
  tierExpiresAtMs: null,
})

const opening = (): Operation => ({ ...request('a'), kind: 'open', signupBonus: 100 })

/** An open account with a lot that ends before `NOW_MS`. */
function opened(): Books {
  const books = onTheWay(emptyBooks(), [opening()]).at(-1) ?? emptyBooks()
  const ending = decide(readBack(books), grant(7, 'a', 500), contextOf(books), START_MS)
  assert.ok(ending.isApplied)
  return post(books, ending.state, ending.changes)
}

const has = (found: readonly Books[], books: Books): boolean =>
  found.some((other) => isDeepStrictEqual(other, books))

t.test('every state on the way is found, however many orders there are', async (t) => {
  const before = opened()
  const freeze = act('freeze', 'a')
  const unfreezes = Array.from({ length: 12 }, () => act('unfreeze', 'a'))
  const grants = Array.from({ length: 20 }, (_, index) => grant(index + 1, 'a'))
  const [first, ...others] = unfreezes
  assert.ok(first)
  const played = [hold(5), freeze, ...grants, first, charge(3, 'a'), ...others, charge(4, 'a')]
  const way = onTheWay(before, played)
  t.equal(way.length, 25)
  const found = explain(writeOf(before, played), played)
  t.same(
    way.filter((books) => !has(found, books)),
    [],
  )
  // The freeze and the unfreeze may stand before the hold, or about any of the grants; no more.
  t.ok(found.length <= 3 * way.length, `${found.length} states`)
})

t.test('nothing but what was asked, each once, explains a write', async (t) => {
  const before = opened()
  const [freeze, again, unfreeze] = [act('freeze', 'a'), act('freeze', 'a'), act('unfreeze', 'a')]
  const paid = charge(3, 'a')
  const write = writeOf(before, [paid, freeze, unfreeze, again])
  t.ok(explain(write, [paid, freeze, unfreeze, again]).length > 0)
  t.same(explain(write, [paid, freeze, unfreeze]), [], 'a freeze once, played twice')
  t.same(explain(write, [paid, freeze, again]), [], 'nobody asked for the unfreeze')
  t.same(explain(write, [freeze, unfreeze, again]), [], 'nobody asked for the charge')
  const other = { ...paid, digest: 'another body' }
  t.same(explain(write, [other, freeze, unfreeze, again]), [], 'the charge has another body')
  const { after } = write
  const status = { ...write, after: { ...after, state: { ...after.state, status: 'active' } } }
  t.same(explain(status as Write, [paid, freeze, unfreeze, again]), [], 'another end')
})

t.test('what no order leads through is not among the states', async (t) => {
  const before = opened()
  const [freeze, unfreeze, paid] = [act('freeze', 'a'), act('unfreeze', 'a'), charge(3, 'a')]
  const played = [paid, freeze]
  const found = explain(writeOf(before, played), [...played, unfreeze])
  t.equal(found.length, 2)
  const frozenFirst = onTheWay(before, [freeze]).at(-1)
  t.ok(frozenFirst && !has(found, frozenFirst), 'a frozen account does not pay')
})

/** Every order of everything, one by one: too slow for more than a few operations. */
function everyOrder(write: Write, asked: readonly Operation[]): Books[] {
  const found: Books[] = []
  const walk = (books: Books, left: readonly Operation[], path: readonly Books[]) => {
    if (isDeepStrictEqual(books, write.after)) {
      for (const state of path) if (!has(found, state)) found.push(state)
      return
    }
    for (const operation of left) {
      const [after] = onTheWay(books, [operation])
      const others = left.filter((other) => other !== operation)
      if (after) walk(after, others, [...path, after])
    }
  }
  walk(write.before, asked, [])
  return found
}

function someOperation(random: Random): Operation {
  const make = random.pick([
    () => act('freeze', 'a'),
    () => act('unfreeze', 'a'),
    () => act('unfreeze', 'a'),
    () => act('sweep', 'a'),
    () => act('close', 'a'),
    () => membership(random.pick(['gold', 'silver'])),
    () => charge(random.between(0, 9), 'a'),
    () => charge(random.between(0, 9), 'a'),
    () => hold(random.between(1, 9)),
    () => grant(random.between(1, 9), 'a'),
  ])
  return make()
}

t.test('the states are those of every order tried one by one, no more and no fewer', async (t) => {
  let most = 0
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = createRandom(seed)
    const isOpen = random.isLucky(0.8)
    const before = isOpen ? opened() : emptyBooks()
    const asked = Array.from({ length: 6 }, () => someOperation(random))
    if (!isOpen) asked.unshift(opening())
    const played = asked.slice(0, random.between(isOpen ? 2 : 1, asked.length))
    if (onTheWay(before, played).length === 0) continue
    const write = writeOf(before, played)
    const [found, expected] = [explain(write, asked), everyOrder(write, asked)]
    t.ok(expected.length > 0)
    for (const books of expected) if (!has(found, books)) t.fail(`seed ${seed}: left out`)
    for (const books of found) if (!has(expected, books)) t.fail(`seed ${seed}: made up`)
    most = Math.max(most, expected.length)
  }
  t.ok(most > 12, `up to ${most} states`)
})
