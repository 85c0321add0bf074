import { AppError } from '../errors.js'
import type { ChargeContext, Context } from './decision.js'
import { addRow, type Draft, overflow } from './draft.js'
import { findLot, putLot, takeParts } from './lots.js'
import type { Lot, LotPart, Operation } from './model.js'

type Of<K extends Operation['kind']> = Extract<Operation, { kind: K }>

/**
 * Gives credits back into the grants that paid, last payer first. What goes into an expired or
 * revoked grant leaves it again by the rows that follow in the same operation. The sum of refunds
 * never exceeds the charge. Reviving spent lots may pass the limit of live lots: nothing is new.
 */
export function refund(
  draft: Draft,
  operation: Of<'refund'>,
  context: Context,
): AppError | undefined {
  const charge = context.charges.get(operation.chargeSeq)
  if (!charge || (charge.row.type !== 'charge' && charge.row.type !== 'capture')) {
    return new AppError('transaction_not_found', 'The account has no such charge')
  }
  const refundable = Math.abs(charge.row.amount) - charge.refunded
  const amount = operation.amount ?? refundable
  if (amount > refundable || amount === 0) {
    const message = `${refundable} credits of the charge can still be refunded`
    return new AppError('refund_exceeds_charge', message, { refundable })
  }
  const tooMuch = overflow(draft, amount)
  if (tooMuch) return tooMuch
  const parts = lastPayersFirst(charge, amount)
  for (const part of parts) {
    const lot = lotOf(draft, context, part.grantSeq)
    putLot(draft, { ...lot, remaining: lot.remaining + part.amount })
  }
  const { action, seq: chargeSeq } = charge.row
  const detail = { chargeSeq, ...(operation.reason !== null && { reason: operation.reason }) }
  const row = addRow(draft, { type: 'refund', action, amount, parts, detail })
  draft.refunds.push({ chargeSeq, refundSeq: row.seq, amount })
  return undefined
}

/** Ends a grant: what is not held leaves at once, what is held leaves when it comes free. */
export function revoke(
  draft: Draft,
  operation: Of<'revoke'>,
  context: Context,
): AppError | undefined {
  const { grantSeq, reason } = operation
  const lot = findLot(draft, context, grantSeq)
  if (!lot) return new AppError('grant_not_found', 'The account has no such grant')
  if (lot.isRevoked) return new AppError('grant_revoked', 'The grant has been revoked before')
  const amount = lot.remaining - lot.held
  putLot(draft, { ...lot, isRevoked: true })
  const part: LotPart = { grantSeq, source: lot.source, amount }
  const parts = amount > 0 ? takeParts(draft, [part]) : []
  const detail = { grantSeq, ...(reason !== null && { reason }) }
  addRow(draft, { type: 'revoke', amount: -amount || 0, parts, detail })
  return undefined
}

/** Earlier refunds took the last payers' shares already: skip those, then take `amount`. */
function lastPayersFirst(charge: ChargeContext, amount: number): LotPart[] {
  const parts: LotPart[] = []
  let skip = charge.refunded
  let left = amount
  for (const part of charge.row.parts.toReversed()) {
    const paid = -part.amount
    const skipped = Math.min(skip, paid)
    const share = Math.min(left, paid - skipped)
    skip -= skipped
    left -= share
    if (share > 0) parts.push({ ...part, amount: share })
  }
  return parts
}

function lotOf(draft: Draft, context: Context, grantSeq: number): Lot {
  const lot = findLot(draft, context, grantSeq)
  if (!lot) throw new Error(`grant ${grantSeq} of ${draft.account.accountId} is gone`)
  return lot
}
