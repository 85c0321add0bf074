import { availableOf, type Draft } from './draft.js'
import type { AccountState, JsonObject, Request } from './model.js'

/** What decides whether an account's owner is told. */
export type Told = {
  /** Available credits below it are few; 0: they never are. */
  readonly lowBalanceCredits: number
}

/** Puts an event into the outbox, named by the row that it tells of. */
export function tell(
  { account: { accountId }, events, nowMs }: Draft,
  seq: number,
  type: string,
  data: JsonObject,
): void {
  const id = `${seq}:${type}`
  events.push({ accountId, id, type, data: { ...data, accountId, seq }, createdAtMs: nowMs })
}

/**
 * What is to be told of an operation that was applied: what its caller asked for, and that credits
 * have become few. It counts how the account was before and is after the whole operation: credits
 * that expire as others come are no news. Of a closed account nobody waits to hear.
 */
export function announce(
  draft: Draft,
  { announce: asked }: Request,
  before: AccountState,
  { lowBalanceCredits: threshold }: Told,
): void {
  if (asked) {
    const own = draft.rows.find((row) => row.key !== null)
    if (own) tell(draft, own.seq, asked.type, asked.data)
  }
  const available = availableOf(draft)
  if (available >= threshold || before.balance - before.held < threshold) return
  const { balance, seq, status } = draft.account
  if (status !== 'closed') tell(draft, seq, 'balance.low', { available, balance, threshold })
}
