import { AppError } from '../errors.js'
import { addRow, type Draft, MAX_LIVE_LOTS, overflow } from './draft.js'
import { putLot } from './lots.js'
import type { JsonObject, Lot, Operation, TransferPart } from './model.js'

type Of<K extends Operation['kind']> = Extract<Operation, { kind: K }>

/** The kinds of rows that bring credits in lots of their own. */
type Inflow = 'grant' | 'adjustment' | 'transfer_in' | 'transfer_return' | 'allocation'

/** One row and one new lot for each part. */
export function addLots(
  draft: Draft,
  type: Inflow,
  parts: readonly TransferPart[],
  detail: JsonObject | null,
): AppError | undefined {
  const total = parts.reduce((sum, part) => sum + part.amount, 0)
  const tooMuch = overflow(draft, total)
  if (tooMuch) return tooMuch
  // What comes back from a failed transfer was here before and has nowhere else to go.
  const isNew = type !== 'transfer_return'
  if (isNew && draft.lots.length + parts.length > MAX_LIVE_LOTS) {
    const message = `An account has at most ${MAX_LIVE_LOTS} live grants`
    return new AppError('limit_exceeded', message, { limit: MAX_LIVE_LOTS })
  }
  for (const part of parts) {
    const lot = newLot(draft, part)
    putLot(draft, lot)
    const share = { grantSeq: lot.grantSeq, source: lot.source, amount: lot.amount }
    addRow(draft, { type, amount: lot.amount, parts: [share], detail })
  }
  return undefined
}

/** The lot that the next row makes. */
export const newLot = (
  { account, nowMs }: Draft,
  { amount, source, priority, expiresAtMs }: TransferPart,
): Lot => ({
  grantSeq: account.seq + 1,
  source,
  amount,
  remaining: amount,
  held: 0,
  priority,
  expiresAtMs,
  isRevoked: false,
  createdAtMs: nowMs,
})

/** What a plan gives for a period, and with it the tier that it names. */
export function allocate(draft: Draft, operation: Of<'allocation'>): AppError | undefined {
  const { parts, membership, detail } = operation
  const refusal = addLots(draft, 'allocation', parts, detail)
  if (refusal) return refusal
  if (membership) join(draft, membership)
  return undefined
}

export function join(
  { account }: Draft,
  { tier, tierExpiresAtMs }: { tier: string | null; tierExpiresAtMs: number | null },
): void {
  account.tier = tier
  account.tierExpiresAtMs = tierExpiresAtMs
}
