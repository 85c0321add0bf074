import { AppError } from '../errors.js'
import { tell } from './announce-rules.js'
import type { ChargeContext, Context, GrantPast } from './decision.js'
import { addRow, availableOf, type Draft, isPast, overflow } from './draft.js'
import { newLot } from './inflow-rules.js'
import { findLot, pick, putLot, takeParts } from './lots.js'
import type { JsonObject, Lot, LotPart, Operation, Row } from './model.js'

type ClawBack = Extract<Operation, { kind: 'claw_back' }>
type Collect = Extract<Operation, { kind: 'collect' }>

/** What moves: `change` is what is lacking to the target, negative when too much was taken. */
type Move = {
  readonly operation: ClawBack
  readonly lot: Lot
  readonly change: number
  /** Clawed back before, in all. */
  readonly before: number
  readonly past: GrantPast
}

/**
 * Brings what was clawed back of a grant to the target, whatever it was before. More: from the
 * grant, then from the rest, never from what is held; what is missing becomes debt. Less: given
 * back. What left the grant unused, expired or revoked, was taken from its owner already: it counts
 * first, and nobody pays for it again.
 */
export function clawBack(
  draft: Draft,
  operation: ClawBack,
  context: Context,
): AppError | undefined {
  const { grantSeq, target } = operation
  const made = context.charges.get(grantSeq)
  const lot = findLot(draft, context, grantSeq)
  if (!lot || !made?.past) return new AppError('grant_not_found', 'The account has no such grant')
  if (!Number.isSafeInteger(target) || target < 0 || target > lot.amount) {
    const message = `Of this grant 0 to ${lot.amount} credits can be clawed back`
    return new AppError('limit_exceeded', message, { limit: lot.amount })
  }
  const change = target - made.refunded
  if (change === 0) return undefined
  const past = pastAfter(made.past, grantSeq, draft.rows)
  const move = { operation, lot, change, before: made.refunded, past }
  return change > 0 ? take(draft, move) : reinstate(draft, move)
}

function take(draft: Draft, { operation, lot, change, before, past }: Move): AppError | undefined {
  const counted = before - past.taken
  const lapsed = Math.min(change, Math.max(0, past.lapsed - counted))
  const due = change - lapsed
  const fromGrant = Math.min(due, lot.remaining - lot.held)
  const own = fromGrant > 0 ? [partOf(lot, fromGrant)] : []
  const row = takeDue(draft, due, { own, detail: detailOf(operation, change) })
  if (row instanceof AppError) return row
  draft.refunds.push({ chargeSeq: lot.grantSeq, refundSeq: row.seq, amount: change })
  return undefined
}

/** As a claw-back without a grant of its own: from what is there, and the rest becomes debt. */
export function collect(draft: Draft, operation: Collect): AppError | undefined {
  const { amount, reason, detail: told } = operation
  const detail = { ...told, ...(reason !== null && { reason }), clawedBack: amount }
  const row = takeDue(draft, amount, { own: [], detail })
  return row instanceof AppError ? row : undefined
}

/** Writes the row of what is due: its `own` parts, then the rest of the account, then debt. */
function takeDue(
  draft: Draft,
  due: number,
  { own, detail }: { readonly own: readonly LotPart[]; readonly detail: JsonObject },
): Row | AppError {
  const { account } = draft
  const fromOwn = own.reduce((sum, { amount }) => sum + amount, 0)
  const fromRest = Math.min(due, availableOf(draft)) - fromOwn
  const debt = due - fromOwn - fromRest
  const tooMuch = overflow(draft, debt, 'debt')
  if (tooMuch) return tooMuch
  const ownParts = takeParts(draft, own)
  const parts = [...ownParts, ...takeParts(draft, pick(draft, fromRest))]
  account.debt += debt
  const amount = -(due - debt) || 0
  const row = addRow(draft, { type: 'claw_back', amount, parts, detail: { ...detail, debt } })
  if (debt > 0) {
    tell(draft, row.seq, 'account.in_debt', { debt: account.debt, balance: account.balance })
  }
  return row
}

/**
 * What came from the grant goes back into it. The rest becomes a lot of the same kind: where the
 * grant has expired meanwhile, one that does not expire, for it came from credits that had not.
 */
function reinstate(draft: Draft, { operation, lot, change, past }: Move): AppError | undefined {
  const amount = Math.min(-change, past.taken)
  const tooMuch = overflow(draft, amount)
  if (tooMuch) return tooMuch
  const parts: LotPart[] = []
  const intoGrant = Math.min(amount, past.takenFromGrant)
  if (intoGrant > 0) {
    putLot(draft, { ...lot, remaining: lot.remaining + intoGrant })
    parts.push(partOf(lot, intoGrant))
  }
  if (amount > intoGrant) {
    const expiresAtMs = isPast(lot.expiresAtMs, draft.nowMs) ? null : lot.expiresAtMs
    const rest = newLot(draft, { ...lot, amount: amount - intoGrant, expiresAtMs })
    putLot(draft, rest)
    parts.push(partOf(rest, rest.amount))
  }
  const detail = detailOf(operation, change)
  const row = addRow(draft, { type: 'reinstate', amount, parts, detail })
  draft.refunds.push({ chargeSeq: lot.grantSeq, refundSeq: row.seq, amount: change })
  return undefined
}

const partOf = ({ grantSeq, source }: Lot, amount: number): LotPart => ({
  grantSeq,
  source,
  amount,
})

/** The ledger's own words win: what is clawed back is counted by them. */
const detailOf = ({ grantSeq, target, reason, detail }: ClawBack, clawedBack: number) => ({
  ...detail,
  ...(reason !== null && { reason }),
  grantSeq,
  target,
  clawedBack,
})

/** Of a grant that was just made. */
export const NO_PAST: GrantPast = { taken: 0, takenFromGrant: 0, lapsed: 0 }

/** What is known of a grant once more rows have been written. */
export function pastAfter(past: GrantPast, grantSeq: number, rows: readonly Row[]): GrantPast {
  let { taken, takenFromGrant, lapsed } = past
  for (const { type, amount, parts, detail } of rows) {
    const left = -(parts.find((part) => part.grantSeq === grantSeq)?.amount ?? 0)
    if (type === 'expire' || type === 'revoke') lapsed += left
    if (type !== 'claw_back' && type !== 'reinstate') continue
    if (detail?.grantSeq !== grantSeq) continue
    taken += (type === 'claw_back' ? Number(detail.debt) : 0) - amount
    takenFromGrant += left
  }
  return { taken, takenFromGrant, lapsed }
}

/** A charge, or a grant's first row, as later operations of the same batch see it. */
export function contextAfter(charge: ChargeContext, seq: number, rows: readonly Row[]) {
  return charge.past ? { ...charge, past: pastAfter(charge.past, seq, rows) } : charge
}
