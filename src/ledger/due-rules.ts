import { addRow, availableOf, type Draft, endHold, isPast } from './draft.js'
import { pick, takeParts } from './lots.js'
import type { Lot } from './model.js'

/**
 * Brings what time has decided into the books. It goes instant by instant, so that nothing but
 * the time of the rows depends on when a sweep comes.
 */
export function settleDue(draft: Draft): void {
  for (const atMs of dueInstants(draft)) settleAt(draft, atMs)
}

/** What is due at an instant, all earlier ones being settled: holds, then lots, then debt. */
export function settleAt(draft: Draft, atMs: number): void {
  for (const hold of draft.holds) {
    if (hold.expiresAtMs <= atMs) endHold(draft, hold, 'expired')
  }
  for (const lot of draft.lots) {
    if (lot.isRevoked || isPast(lot.expiresAtMs, atMs)) endLot(draft, lot)
  }
  payDebt(draft)
}

/** Ascending; now, the last, is always one of them. */
function dueInstants({ holds, lots, nowMs }: Draft): number[] {
  const instants: number[] = []
  for (const { expiresAtMs } of holds) if (expiresAtMs < nowMs) instants.push(expiresAtMs)
  for (const { expiresAtMs } of lots) {
    if (expiresAtMs !== null && expiresAtMs < nowMs) instants.push(expiresAtMs)
  }
  return [...new Set(instants.sort((a, b) => a - b)), nowMs]
}

function endLot(draft: Draft, lot: Lot): void {
  const free = lot.remaining - lot.held
  if (free === 0) return
  const parts = takeParts(draft, [{ grantSeq: lot.grantSeq, source: lot.source, amount: free }])
  addRow(draft, { type: lot.isRevoked ? 'revoke' : 'expire', amount: -free, parts })
}

/** Every inflow pays debt first: afterwards there is no debt or nothing available. */
function payDebt(draft: Draft): void {
  const amount = Math.min(draft.account.debt, availableOf(draft))
  if (amount === 0) return
  const parts = takeParts(draft, pick(draft, amount))
  draft.account.debt -= amount
  addRow(draft, { type: 'debt_payment', amount: -amount, parts })
}
