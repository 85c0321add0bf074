import { isDeepStrictEqual } from 'node:util'
import type { Operation } from '../../src/ledger/model.js'
import { decide } from '../../src/ledger/rules.js'
import { type Books, contextOf, post, readBack } from '../ledger/model-books.js'
import type { Write } from './fake-database.js'

/** Kinds that may write without leaving a row under their key. */
const SILENT: ReadonlySet<Operation['kind']> = new Set([
  'open',
  'close',
  'freeze',
  'unfreeze',
  'membership',
  'sweep',
])

/** Silent operations may stand anywhere between the others: so many orders are looked at. */
const MAX_ORDERS = 100

/**
 * Plays a write again through the rules, one operation at a time, from the books before it: gives
 * the books between the operations, those of every order that leads to what was written. None:
 * no order of what was asked does. `asked` is all that was asked of the account so far.
 */
export function explain(write: Write, asked: readonly Operation[]): readonly Books[] {
  const keyed = write.changes.rows.flatMap((row) => {
    if (row.key === null) return []
    const found = asked.find((o) => o.key === row.key && o.digest === row.digest)
    return [found]
  })
  if (!keyed.every((operation) => operation !== undefined)) return []
  const silent = asked.filter(({ kind }) => SILENT.has(kind))
  const found: Found = { orders: 0, between: [] }
  search({ write, found, path: [], books: write.before }, keyed as Operation[], silent)
  return found.between
}

type Found = { orders: number; readonly between: Books[] }

type Place = {
  readonly write: Write
  readonly found: Found
  readonly path: readonly Books[]
  readonly books: Books
}

function search(place: Place, keyed: readonly Operation[], silent: readonly Operation[]): void {
  const { write, found, path, books } = place
  const left = (write.after.state?.version ?? 0) - (books.state?.version ?? 0)
  if (left === 0 && isDeepStrictEqual(books, write.after)) {
    found.orders += 1
    found.between.push(...path)
  }
  if (left === 0 || found.orders >= MAX_ORDERS) return
  const [next, ...others] = keyed
  const choices = left > keyed.length ? [next, ...silent] : [next]
  for (const operation of choices) {
    const after = operation && stepOf(write, books, operation)
    if (!after) continue
    const rest = operation === next ? others : keyed
    const unused = silent.filter((other) => other !== operation)
    search({ write, found, path: [...path, after], books: after }, rest, unused)
  }
}

/** The books after one operation; null when it is refused, writes nothing or other rows. */
function stepOf(write: Write, books: Books, operation: Operation): Books | null {
  const decision = decide(readBack(books), operation, contextOf(books), write.nowMs)
  if (!decision.isApplied || decision.state.version === (books.state?.version ?? 0)) return null
  const after = post(books, decision.state, decision.changes)
  const isWritten = after.rows.every(
    (row, index) => index < books.rows.length || isDeepStrictEqual(row, write.after.rows[index]),
  )
  return isWritten ? after : null
}
