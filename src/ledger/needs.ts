import type { ChargeContext, Context } from './decision.js'
import type { AccountState, Hold, Lot, Operation, Row } from './model.js'
import type { LoadReply, LoadRequest } from './port.js'

/** An operation on its way through the lanes. */
export type Entry = {
  readonly operation: Operation
  /** Its key may be in the ledger already: look before deciding. */
  lookUp: boolean
}

/** What is known of one account while a batch is planned. */
export type KnownAccount = {
  /** null: never opened. */
  readonly state: AccountState | null
  /** Read after the operations arrived; else it is a state kept from before. */
  readonly isFresh: boolean
  readonly rows: ReadonlyMap<string, Row>
  readonly context: Context
}

export type MutableContext = {
  charges: Map<number, ChargeContext>
  settledHolds: Map<number, Hold>
  lots: Map<number, Lot>
}

/** What must be read before the entries can be decided, given the states that are kept. */
export function whatToLoad(
  entries: readonly Entry[],
  kept: (accountId: string) => AccountState | undefined,
): LoadRequest {
  const accounts = new Set<string>()
  const request = { accounts, keys: [], charges: [], holds: [], lots: [] } as {
    accounts: Set<string>
    keys: { accountId: string; key: string }[]
  } & Record<'charges' | 'holds' | 'lots', { accountId: string; seq: number }[]>
  for (const { operation } of entries) {
    const state = kept(operation.accountId)
    if (!state || partNeeded(operation, state)) accounts.add(operation.accountId)
  }
  for (const { operation, lookUp } of entries) {
    const { accountId, key } = operation
    const isRead = accounts.has(accountId)
    // A state that is read may lack what the kept one had: a hold that was settled elsewhere.
    const part = isRead ? partNeeded(operation, undefined) : undefined
    if (part) request[part.list].push({ accountId, seq: part.seq })
    // A state that is read anyway is read with the keys: a repeat is then answered at once.
    if (lookUp || isRead) request.keys.push({ accountId, key })
  }
  return { ...request, accounts: [...accounts] }
}

function partNeeded(
  operation: Operation,
  state: AccountState | undefined,
): { list: 'charges' | 'holds' | 'lots'; seq: number } | undefined {
  const seq = rowReferredTo(operation)
  if (seq !== null) return { list: 'charges', seq }
  if (operation.kind === 'revoke') return { list: 'lots', seq: operation.grantSeq }
  if (operation.kind !== 'capture' && operation.kind !== 'release' && operation.kind !== 'extend') {
    return undefined
  }
  const isActive = state?.holds.some((hold) => hold.holdSeq === operation.holdSeq)
  return isActive ? undefined : { list: 'holds', seq: operation.holdSeq }
}

/** The row whose refunds or claw-backs count. */
export function rowReferredTo(operation: Operation): number | null {
  if (operation.kind === 'refund') return operation.chargeSeq
  return operation.kind === 'claw_back' ? operation.grantSeq : null
}

/**
 * Sorts a reply by account. Accounts that were asked for and not found are known to be absent; of
 * those asked for keys only, the state is the kept one.
 */
export function knownFrom(
  request: LoadRequest,
  reply: LoadReply,
  kept: (accountId: string) => AccountState | undefined = () => undefined,
): Map<string, KnownAccount> {
  const known = new Map<
    string,
    KnownAccount & { rows: Map<string, Row>; context: MutableContext }
  >()
  const expect = (accountId: string, state: AccountState | null, isFresh: boolean) => {
    const context = { charges: new Map(), settledHolds: new Map(), lots: new Map() }
    known.set(accountId, { state, isFresh, rows: new Map(), context })
  }
  for (const accountId of request.accounts) expect(accountId, null, true)
  for (const { accountId } of request.keys) {
    if (!known.has(accountId)) expect(accountId, kept(accountId) ?? null, false)
  }
  for (const state of reply.accounts) {
    const entry = known.get(state.accountId)
    if (entry) known.set(state.accountId, { ...entry, state })
  }
  for (const row of reply.rows) {
    if (row.key !== null) known.get(row.accountId)?.rows.set(row.key, row)
  }
  for (const charge of reply.charges) {
    known.get(charge.row.accountId)?.context.charges.set(charge.row.seq, charge)
  }
  for (const { accountId, hold } of reply.holds) {
    if (hold.status !== 'active') known.get(accountId)?.context.settledHolds.set(hold.holdSeq, hold)
  }
  for (const { accountId, lot } of reply.lots) {
    known.get(accountId)?.context.lots.set(lot.grantSeq, lot)
  }
  return known
}

/** Most operations need none: one map serves all of them, and nothing is ever put into it. */
export const NONE = new Map<number, never>()
const EMPTY: Context = { charges: NONE, settledHolds: NONE, lots: NONE }

export const emptyContext = (): Context => EMPTY
