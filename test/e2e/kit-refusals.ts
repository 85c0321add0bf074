import type { Call } from './kit-load.js'
import { type Book, type Moment, type RowView, refundedOf } from './kit-model.js'

/** Clocks of the services follow the database's to within this. */
const CLOCK_SLACK_MS = 1_100

type Told = {
  readonly accountId: string
  readonly rows: readonly RowView[]
  readonly book: Book
}

type Span = { readonly seq: number; readonly startMs: number; readonly endMs: number }

/** I4, I8: every refusal must have been right at some moment between its call and its answer. */
export const doubt = ({ accountId, rows, book }: Told, calls: readonly Call[]): string[] => {
  const seqs = new Map(rows.map((row) => [row.transactionId, row.seq as number]))
  const spans = calls.flatMap(({ reply, startMs, endMs }): Span[] => {
    const seq = seqs.get(reply?.body.transactionId)
    return seq === undefined ? [] : [{ seq, startMs, endMs }]
  })
  return calls.flatMap((call) => {
    if ((call.reply?.status ?? 0) < 400) return []
    if (isRight(call, book, momentsOf(call, book, spans))) return []
    const asked = `${accountId} ${call.kind} ${JSON.stringify(call.body)}`
    return [`${asked}: refused without cause: ${JSON.stringify(call.reply?.body)}`]
  })
}

const isRight = (call: Call, book: Book, moments: readonly Moment[]): boolean => {
  const body = call.reply?.body
  const hold = book.holds.get(call.target?.holdId)
  switch (body.code) {
    case 'hold_not_active': {
      if (!hold) return false
      const { settledSeq } = hold
      return isDueBy(call, hold) || (settledSeq > 0 && moments.some(({ seq }) => seq >= settledSeq))
    }
    case 'insufficient_credits': {
      const held = call.kind === 'capture' ? (hold?.amount ?? 0) : 0
      const sums = moments.flatMap((moment) => availableAt(moment, call)).map((n) => n + held)
      if (body.required !== call.body.amount || body.available >= body.required) return false
      return sums.includes(body.available)
    }
    case 'refund_exceeds_charge': {
      const charge = book.charges.get(call.body.transactionId)
      if (!charge) return false
      const { refundable } = body
      if (refundable > 0 && !(call.body.amount > refundable)) return false
      return moments.some(({ seq }) => charge.amount - refundedOf(charge, seq) === refundable)
    }
    default:
      return false
  }
}

const isDueBy = ({ endedAtMs }: Call, { expiresAtMs }: { expiresAtMs: number }): boolean =>
  expiresAtMs <= endedAtMs + CLOCK_SLACK_MS

/** From the last row answered before the call was sent to the first sent after its answer. */
const momentsOf = (call: Call, book: Book, spans: readonly Span[]): readonly Moment[] => {
  let least = 0
  let most = Number.POSITIVE_INFINITY
  for (const { seq, startMs, endMs } of spans) {
    if (endMs < call.startMs) least = Math.max(least, seq)
    if (startMs > call.endMs) most = Math.min(most, seq - 1)
  }
  return book.moments.filter(({ seq }) => seq >= least && seq <= most)
}

/** Due holds leave before any decision, also before one that refuses and so writes nothing. */
const availableAt = ({ available, due }: Moment, call: Call): number[] => {
  const sums = [available]
  for (const hold of due.toSorted((a, b) => a.expiresAtMs - b.expiresAtMs)) {
    if (isDueBy(call, hold)) sums.push((sums.at(-1) ?? 0) + hold.amount)
  }
  return sums
}
