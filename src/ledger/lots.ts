import type { Context } from './decision.js'
import type { Draft } from './draft.js'
import type { Lot, LotPart } from './model.js'

/** Burn-down order: smaller priority first, then soonest expiry (none last), then oldest. */
export function compareLots(a: Lot, b: Lot): number {
  if (a.priority !== b.priority) return a.priority - b.priority
  const aExpiry = a.expiresAtMs ?? Number.POSITIVE_INFINITY
  const bExpiry = b.expiresAtMs ?? Number.POSITIVE_INFINITY
  if (aExpiry !== bExpiry) return aExpiry - bExpiry
  return a.grantSeq - b.grantSeq
}

/** Puts a lot, as it is now, among the live ones; an empty lot leaves them. */
export function putLot(draft: Draft, lot: Lot): void {
  draft.changedLots.set(lot.grantSeq, lot)
  const at = draft.lots.findIndex((l) => l.grantSeq === lot.grantSeq)
  if (at >= 0) {
    draft.lots =
      lot.remaining > 0
        ? draft.lots.with(at, lot)
        : [...draft.lots.slice(0, at), ...draft.lots.slice(at + 1)]
    return
  }
  if (lot.remaining === 0) return
  const later = draft.lots.findIndex((l) => compareLots(lot, l) < 0)
  const to = later < 0 ? draft.lots.length : later
  draft.lots = [...draft.lots.slice(0, to), lot, ...draft.lots.slice(to)]
}

/** Picks `amount` available credits in burn-down order without moving them. */
export function pick(draft: Draft, amount: number): LotPart[] {
  const parts: LotPart[] = []
  let left = amount
  for (const lot of draft.lots) {
    if (left === 0) break
    const share = Math.min(left, lot.remaining - lot.held)
    if (share <= 0) continue
    parts.push({ grantSeq: lot.grantSeq, source: lot.source, amount: share })
    left -= share
  }
  return parts
}

/** Takes the picked credits out of their lots; gives the parts as a row shows them: negative. */
export function takeParts(draft: Draft, parts: readonly LotPart[]): LotPart[] {
  changeLots(draft, parts, (lot, amount) => ({ ...lot, remaining: lot.remaining - amount }))
  return parts.map((part) => ({ ...part, amount: -part.amount }))
}

/** Reserves (sign 1) or frees (sign −1) the parts of a hold in their lots. */
export function reserveParts(draft: Draft, parts: readonly LotPart[], sign: 1 | -1): void {
  changeLots(draft, parts, (lot, amount) => ({ ...lot, held: lot.held + sign * amount }))
}

/** Changes the lots of the parts, each a lot of its own, in one pass: there may be a thousand. */
function changeLots(
  draft: Draft,
  parts: readonly LotPart[],
  change: (lot: Lot, amount: number) => Lot,
): void {
  const [only] = parts
  if (parts.length <= 1) {
    if (only) putLot(draft, change(liveLot(draft, only.grantSeq), only.amount))
    return
  }
  const amounts = new Map(parts.map(({ grantSeq, amount }) => [grantSeq, amount]))
  const lots = draft.lots.map((lot) => {
    const amount = amounts.get(lot.grantSeq)
    if (amount === undefined) return lot
    amounts.delete(lot.grantSeq)
    const changed = change(lot, amount)
    draft.changedLots.set(lot.grantSeq, changed)
    return changed
  })
  const [missing] = amounts.keys()
  if (missing !== undefined) throw notLive(draft, missing)
  draft.lots = lots.filter((lot) => lot.remaining > 0)
}

export function liveLot(draft: Draft, grantSeq: number): Lot {
  const lot = draft.lots.find((l) => l.grantSeq === grantSeq)
  if (!lot) throw notLive(draft, grantSeq)
  return lot
}

/** A lot that is not among the live ones has nothing left, whatever it had when it was loaded. */
export function findLot(draft: Draft, context: Context, grantSeq: number): Lot | undefined {
  const live = draft.lots.find((l) => l.grantSeq === grantSeq)
  if (live) return live
  const spent = draft.changedLots.get(grantSeq) ?? context.lots.get(grantSeq)
  return spent && { ...spent, remaining: 0, held: 0 }
}

const notLive = ({ account }: Draft, grantSeq: number): Error =>
  new Error(`lot ${grantSeq} of ${account.accountId} is not live`)
