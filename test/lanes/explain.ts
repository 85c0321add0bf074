import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { Operation } from '../../src/ledger/model.js'
import { decide } from '../../src/ledger/rules.js'
import { type Books, contextOf, post, readBack } from '../ledger/model-books.js'
import type { Write } from './fake-database.js'
import { TOLD } from './operations.js'

/** Kinds that may write without leaving a row under their key. */
const SILENT: ReadonlySet<Operation['kind']> = new Set([
  'open',
  'close',
  'freeze',
  'unfreeze',
  'membership',
  'sweep',
  'allocation',
  'claw_back',
])

/** Silent ones that say nothing but their kind: any of them stands for any other. */
const ALIKE: ReadonlySet<Operation['kind']> = new Set(['freeze', 'unfreeze', 'sweep'])

/** Far more than any run has met; beyond it the search says so instead of leaving orders out. */
const MAX_PLACES = 20_000

/**
 * Plays a write again through the rules, one operation at a time, from the books before it: gives
 * all that the books may have been between the operations and after the last, over every order
 * that leads to what was written. None: no order of what was asked does. `asked` is all that was
 * asked of the account so far.
 */
export function explain(write: Write, asked: readonly Operation[]): readonly Books[] {
  const keyed = write.changes.rows.flatMap((row) => {
    if (row.key === null) return []
    const found = asked.find((o) => o.key === row.key && o.digest === row.digest)
    return [found]
  })
  if (!keyed.every((operation) => operation !== undefined)) return []
  const silent = inGroups(asked.filter(({ kind }) => SILENT.has(kind)))
  const search: Search = { write, seen: new Map(), places: 0, found: [] }
  leads(search, { keyed: keyed as Operation[], silent, books: write.before })
  return search.found
}

/** Those that are alike together. */
function inGroups(operations: readonly Operation[]): Operation[][] {
  const groups = new Map<Operation | Operation['kind'], Operation[]>()
  for (const operation of operations) {
    const name = ALIKE.has(operation.kind) ? operation.kind : operation
    groups.set(name, [...(groups.get(name) ?? []), operation])
  }
  return [...groups.values()]
}

type Search = {
  readonly write: Write
  readonly seen: Map<string, Visited[]>
  places: number
  readonly found: Books[]
}

type Visited = { readonly books: Books; readonly isOnTheWay: boolean }

/** The books at one point of an order, and what has not been played yet. */
type Place = {
  readonly keyed: readonly Operation[]
  /** In groups of those that are alike. */
  readonly silent: readonly (readonly Operation[])[]
  readonly books: Books
}

/**
 * Whether what is left leads on from here to what was written. Many orders meet in the same place:
 * it is gone on from once, else there were more orders than can be looked at.
 */
function leads(search: Search, place: Place): boolean {
  const { keyed, silent, books } = place
  const name = [keyed.length, ...silent.map((alike) => alike.length)].join(' ')
  const seen = search.seen.get(name) ?? []
  const known = seen.find((other) => isDeepStrictEqual(other.books, books))
  if (known) return known.isOnTheWay
  search.places += 1
  assert.ok(search.places <= MAX_PLACES, 'too many orders to look at: nothing can be said')
  const isOnTheWay = goOn(search, place)
  search.seen.set(name, [...(search.seen.get(name) ?? []), { books, isOnTheWay }])
  if (isOnTheWay && books !== search.write.before) search.found.push(books)
  return isOnTheWay
}

function goOn(search: Search, { keyed, silent, books }: Place): boolean {
  const { write } = search
  const left = (write.after.state?.version ?? 0) - (books.state?.version ?? 0)
  if (left === 0) return isDeepStrictEqual(books, write.after)
  let isOnTheWay = false
  const tryOne = (operation: Operation | undefined, rest: Omit<Place, 'books'>) => {
    const after = operation && stepOf(write, books, operation)
    if (after && leads(search, { ...rest, books: after })) isOnTheWay = true
  }
  const [next, ...others] = keyed
  tryOne(next, { keyed: others, silent })
  if (left <= keyed.length) return isOnTheWay
  for (const [index, [operation, ...alike]] of silent.entries()) {
    tryOne(operation, { keyed, silent: silent.with(index, alike) })
  }
  return isOnTheWay
}

/** The books after one operation; null when it is refused, writes nothing or other rows. */
function stepOf(write: Write, books: Books, operation: Operation): Books | null {
  const decision = decide(readBack(books), operation, contextOf(books), write.nowMs, TOLD)
  if (!decision.isApplied || decision.state.version === (books.state?.version ?? 0)) return null
  const after = post(books, decision.state, decision.changes)
  const isWritten = after.rows.every(
    (row, index) => index < books.rows.length || isDeepStrictEqual(row, write.after.rows[index]),
  )
  return isWritten ? after : null
}
