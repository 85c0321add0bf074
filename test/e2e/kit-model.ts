import type { Reply } from './kit-client.js'
import type { Call } from './kit-load.js'

/*
 * The ledger told as plainly as possible, from what its API promises and from nothing else: lots
 * that are spent in their order, holds that keep credits of lots, refunds that go back to them.
 * One book is one account; rows are entered in the order of their seq.
 */

export type RowView = Reply['body']

/** What the API says of a lot that never changes. */
export type LotFacts = {
  readonly grantId: string
  readonly source: string
  readonly priority: number
  readonly expiresAt: string | null
}

type Lot = LotFacts & { readonly age: number; left: number; held: number }
type Part = { readonly lot: Lot; readonly amount: number }
type Hold = {
  readonly amount: number
  readonly parts: readonly Part[]
  readonly expiresAtMs: number
  settledSeq: number
  status: string
}
type Charge = { readonly amount: number; readonly parts: readonly Part[]; refunds: Refund[] }
type Refund = { readonly seq: number; readonly amount: number }

/** What an account looked like after one of its rows, as far as refusals tell of it. */
export type Moment = {
  readonly seq: number
  readonly available: number
  /** Holds that were active then. */
  readonly due: readonly { readonly expiresAtMs: number; readonly amount: number }[]
}

export type Book = {
  /** Enters a row; throws when it is not what the model says it must be. */
  enter(row: RowView, call: Call | null): void
  readonly moments: readonly Moment[]
  readonly holds: ReadonlyMap<string, Hold>
  readonly charges: ReadonlyMap<string, Charge>
  /** By grantId, what is left and what of it is held. */
  lots(): ReadonlyMap<string, { left: number; held: number }>
}

class Disagreement extends Error {
  override readonly name = 'Disagreement'
}

const must = (isSo: boolean, what: string): void => {
  if (!isSo) throw new Disagreement(what)
}

export const createBook = (facts: ReadonlyMap<string, LotFacts>): Book => {
  const lots: Lot[] = []
  const holds = new Map<string, Hold>()
  const charges = new Map<string, Charge>()
  const moments: Moment[] = [{ seq: 0, available: 0, due: [] }]

  const balance = () => lots.reduce((sum, lot) => sum + lot.left, 0)
  const available = () => lots.reduce((sum, lot) => sum + lot.left - lot.held, 0)
  const spendable = () => lots.filter((lot) => lot.left > lot.held).toSorted(firstSpent)

  const pick = (amount: number): Part[] => {
    must(amount <= available(), `${amount} of ${available()} available`)
    let open = amount
    return spendable().flatMap((lot) => {
      const share = Math.min(open, lot.left - lot.held)
      open -= share
      return share > 0 ? [{ lot, amount: share }] : []
    })
  }
  const spend = (parts: readonly Part[]): void => {
    for (const { lot, amount } of parts) lot.left -= amount
  }

  const give = (row: RowView, amount: number): readonly Part[] => {
    const fact = facts.get(row.grantId)
    if (!fact) throw new Disagreement(`the lot ${row.grantId} is not listed`)
    const lot = { ...fact, age: row.seq, left: amount, held: 0 }
    lots.push(lot)
    return [{ lot, amount }]
  }

  const hold = (row: RowView, amount: number): readonly Part[] => {
    const parts = pick(amount)
    for (const part of parts) part.lot.held += part.amount
    const expiresAtMs = Date.parse(row.expiresAt)
    holds.set(row.holdId, { amount, parts, expiresAtMs, settledSeq: 0, status: 'active' })
    return parts
  }

  const settle = (row: RowView, status: string): Hold => {
    const found = holds.get(row.holdId)
    if (!found) throw new Disagreement(`the hold ${row.holdId} was never made`)
    must(found.status === 'active', `the hold was ${found.status} before`)
    const isDue = Date.parse(row.createdAt) >= found.expiresAtMs
    must(
      isDue === (status === 'expired'),
      `${status}, and its deadline has ${isDue ? '' : 'not '}passed`,
    )
    for (const part of found.parts) part.lot.held -= part.amount
    found.status = status
    found.settledSeq = row.seq
    return found
  }

  const capture = (row: RowView, asked: number | undefined): readonly Part[] => {
    const { amount: held, parts } = settle(row, 'captured')
    const amount = asked ?? held
    let open = amount
    const reserved = parts.flatMap(({ lot, amount: most }) => {
      const share = Math.min(open, most)
      open -= share
      return share > 0 ? [{ lot, amount: share }] : []
    })
    spend(reserved)
    const above = pick(open)
    spend(above)
    return charged(row, amount, together([...reserved, ...above]))
  }

  const charged = (row: RowView, amount: number, parts: readonly Part[]): readonly Part[] => {
    charges.set(row.transactionId, { amount, parts, refunds: [] })
    return parts
  }

  const refund = (row: RowView, chargeId: string, asked: number | undefined): readonly Part[] => {
    const charge = charges.get(chargeId)
    if (!charge) throw new Disagreement(`the charge ${chargeId} was never made`)
    const before = refundedOf(charge, row.seq)
    const amount = asked ?? charge.amount - before
    must(amount > 0 && before + amount <= charge.amount, `refunds of ${before + amount}`)
    // the last payer first, and what it has got back already is passed over
    let passed = before
    let open = amount
    const parts = charge.parts.toReversed().flatMap(({ lot, amount: paid }) => {
      const skip = Math.min(passed, paid)
      const share = Math.min(open, paid - skip)
      passed -= skip
      open -= share
      return share > 0 ? [{ lot, amount: share }] : []
    })
    for (const part of parts) part.lot.left += part.amount
    charge.refunds.push({ seq: row.seq, amount })
    return parts
  }

  const take = (amount: number): readonly Part[] => {
    const parts = pick(amount)
    spend(parts)
    return parts
  }

  /** What the row must be: its change of the balance, and the lots it touches. */
  const act = (row: RowView, call: Call | null): { change: number; parts: readonly Part[] } => {
    if (call === null) {
      if (row.type === 'transfer_in') return { change: row.amount, parts: give(row, row.amount) }
      must(row.type === 'hold_expire', 'nobody asked for it')
      return { change: 0, parts: settle(row, 'expired').parts }
    }
    must(row.type === TYPES[call.kind], `a ${call.kind} was asked for`)
    const asked: number | undefined = call.body.amount
    const whole = asked ?? 0
    switch (call.kind) {
      case 'charge':
        return { change: -whole, parts: charged(row, whole, take(whole)) }
      case 'grant':
        return { change: whole, parts: give(row, whole) }
      case 'hold':
        return { change: 0, parts: hold(row, whole) }
      case 'release':
        return { change: 0, parts: settle(row, 'released').parts }
      case 'transfer':
        return { change: -whole, parts: take(whole) }
      case 'capture': {
        const parts = capture(row, asked)
        return { change: -sumOf(parts), parts }
      }
      case 'refund': {
        const parts = refund(row, call.body.transactionId, asked)
        return { change: sumOf(parts), parts }
      }
    }
  }

  const enter: Book['enter'] = (row, call) => {
    const before = balance()
    const { change, parts } = act(row, call)
    must(row.amount === change, `its amount must be ${change}`)
    must(row.balanceBefore === before, `the balance before it was ${before}`)
    must(row.balanceAfter === balance(), `the balance after it is ${balance()}`)
    must(available() >= 0, 'nothing is available below zero')
    const wanted = parts.map(({ lot, amount }) => `${lot.grantId} ${lot.source} ${amount}`)
    const shown = row.grants.map((g: RowView) => `${g.grantId} ${g.source} ${g.amount}`)
    must(String(shown) === String(wanted), `its grants must be ${wanted}`)
    const due = [...holds.values()].filter(({ status }) => status === 'active')
    moments.push({
      seq: row.seq,
      available: available(),
      due: due.map(({ expiresAtMs, amount }) => ({ expiresAtMs, amount })),
    })
  }

  return {
    enter,
    moments,
    holds,
    charges,
    lots: () => new Map(lots.map((lot) => [lot.grantId, { left: lot.left, held: lot.held }])),
  }
}

/** What had been refunded of a charge by the row with this seq. */
export const refundedOf = ({ refunds }: Charge, seq: number): number =>
  refunds.reduce((sum, refund) => (refund.seq <= seq ? sum + refund.amount : sum), 0)

const TYPES: Readonly<Record<Call['kind'], string>> = {
  charge: 'charge',
  grant: 'grant',
  hold: 'hold',
  capture: 'capture',
  release: 'release',
  refund: 'refund',
  transfer: 'transfer_out',
}

/** Smaller priority first, then the sooner expiry, none last, then the older. */
const firstSpent = (a: Lot, b: Lot): number =>
  a.priority - b.priority || expiryOf(a) - expiryOf(b) || a.age - b.age

const expiryOf = ({ expiresAt }: Lot): number =>
  expiresAt === null ? Number.MAX_SAFE_INTEGER : Date.parse(expiresAt)

const sumOf = (parts: readonly Part[]): number => parts.reduce((sum, { amount }) => sum + amount, 0)

/** A lot that gives twice is named once. */
const together = (parts: readonly Part[]): Part[] => {
  const sums = new Map<Lot, number>()
  for (const { lot, amount } of parts) sums.set(lot, (sums.get(lot) ?? 0) + amount)
  return [...sums].map(([lot, amount]) => ({ lot, amount }))
}
