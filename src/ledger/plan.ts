import { AppError } from '../errors.js'
import type { Told } from './announce-rules.js'
import { contextAfter, NO_PAST, pastAfter } from './claw-back-rules.js'
import type { Changes } from './decision.js'
import type { AccountState, Operation, Outcome, Row } from './model.js'
import type { Entry, KnownAccount, MutableContext } from './needs.js'
import { NONE, rowReferredTo } from './needs.js'
import type { AccountWrite, Batch } from './port.js'
import { decide } from './rules.js'

export type Answer =
  | { readonly outcome: Outcome; readonly error?: undefined }
  | { readonly error: Error; readonly outcome?: undefined }

export type Plan<E extends Entry> = {
  /** null: nothing to write and nothing to prove. */
  readonly batch: Batch | null
  /** Answers by account; those of accounts in the batch hold once it is confirmed. */
  readonly answers: ReadonlyMap<string, readonly { readonly entry: E; readonly answer: Answer }[]>
  /** Second uses of a key within the batch: they wait for the first. */
  readonly deferred: readonly E[]
}

/** A map that has something in it is always the account's own. */
const ownCopy = <V>(map: ReadonlyMap<number, V>): Map<number, V> =>
  map.size === 0 ? NONE : new Map(map)
const put = <V>(map: Map<number, V>, seq: number, value: V): Map<number, V> =>
  map.size === 0 ? new Map([[seq, value]]) : map.set(seq, value)

export type PlannedAt = {
  readonly epoch: string
  readonly nowMs: number
  /** What the accounts' owners are told of; by default nothing. */
  readonly told?: Told | undefined
}

/** Decides the entries in their order, each on the state the one before it left. */
export function planBatch<E extends Entry>(
  entries: readonly E[],
  known: (accountId: string) => KnownAccount,
  at: PlannedAt,
): Plan<E> {
  const drafts = new Map<string, AccountPlan<E>>()
  const deferred: E[] = []
  for (const entry of entries) {
    const { accountId, key } = entry.operation
    let draft = drafts.get(accountId)
    if (!draft) {
      draft = startAccount(known(accountId))
      drafts.set(accountId, draft)
    }
    const isFound = draft.known.rows.has(key)
    if (draft.keys.has(key) && !isFound) deferred.push(entry)
    else draft.answers.push({ entry, answer: answerOne(draft, entry.operation, at) })
    draft.keys.add(key)
  }
  const answers = new Map([...drafts].map(([id, draft]) => [id, draft.answers]))
  return { batch: batchOf(drafts, at), answers, deferred }
}

type AccountPlan<E extends Entry> = {
  readonly known: KnownAccount
  state: AccountState | null
  readonly context: MutableContext
  readonly keys: Set<string>
  /** Keys of operations decided here, to be proven unused. */
  readonly decided: string[]
  readonly changes: Changes[]
  readonly answers: { entry: E; answer: Answer }[]
}

function startAccount<E extends Entry>(known: KnownAccount): AccountPlan<E> {
  const { charges, settledHolds, lots } = known.context
  const context = {
    charges: ownCopy(charges),
    settledHolds: ownCopy(settledHolds),
    lots: ownCopy(lots),
  }
  const empty = { keys: new Set<string>(), decided: [], changes: [], answers: [] }
  return { known, state: known.state, context, ...empty }
}

function answerOne(draft: AccountPlan<Entry>, operation: Operation, at: PlannedAt): Answer {
  const replayed = draft.known.rows.get(operation.key)
  if (replayed && draft.state) return replay(replayed, operation)
  draft.decided.push(operation.key)
  rememberOwn(draft, operation)
  const decision = decide(draft.state, operation, draft.context, at.nowMs, at.told)
  if (!decision.isApplied) return { error: decision.error }
  draft.state = decision.state
  draft.changes.push(decision.changes)
  follow(draft.context, decision.changes)
  const row = decision.changes.rows.find((r) => r.key !== null) ?? null
  return { outcome: { row, state: decision.state, isReplay: false } }
}

/** What a refund or claw-back refers to may have been written in this very batch. */
function rememberOwn({ known, context, changes }: AccountPlan<Entry>, operation: Operation): void {
  const seq = rowReferredTo(operation)
  if (seq === null || seq <= (known.state?.seq ?? 0) || context.charges.has(seq)) return
  const rows = changes.flatMap((c) => c.rows)
  const row = rows.find((r) => r.seq === seq)
  if (!row) return
  const isGrant = changes.some(({ lots }) => lots.some(({ grantSeq }) => grantSeq === seq))
  const past = isGrant ? pastAfter(NO_PAST, seq, rows) : null
  context.charges = put(context.charges, seq, { row, refunded: 0, past })
}

/** The first answer again, from its row; another request under the same key is refused. */
function replay(row: Row, operation: Operation): Answer {
  if (row.digest === operation.digest) return { outcome: { row, state: null, isReplay: true } }
  const message = 'This idempotency key was used for another request of this account'
  return { error: new AppError('idempotency_key_reused', message) }
}

/** Later operations of the batch see what this one changed; live lots they find in the state. */
function follow(context: MutableContext, changes: Changes): void {
  for (const lot of changes.lots) {
    if (lot.remaining === 0) context.lots = put(context.lots, lot.grantSeq, lot)
  }
  for (const hold of changes.holds) {
    if (hold.status === 'active') continue
    context.settledHolds = put(context.settledHolds, hold.holdSeq, hold)
  }
  for (const { chargeSeq, amount } of changes.refunds) {
    const charge = context.charges.get(chargeSeq)
    if (!charge) continue
    const refunded = charge.refunded + amount
    context.charges = put(context.charges, chargeSeq, { ...charge, refunded })
  }
  for (const [seq, charge] of context.charges) {
    context.charges.set(seq, contextAfter(charge, seq, changes.rows))
  }
}

function batchOf(
  drafts: ReadonlyMap<string, AccountPlan<Entry>>,
  { epoch, nowMs }: PlannedAt,
): Batch | null {
  const accounts: AccountWrite[] = []
  const keys: { accountId: string; key: string }[] = []
  for (const [accountId, { known, state, changes, decided }] of drafts) {
    if (!state) continue
    const base = known.state?.version ?? 0
    const isWritten = state.version !== base
    // what is answered from rows alone needs no proof of the state: rows never change
    if (!isWritten && (known.isFresh || decided.length === 0)) continue
    const baseSeq = known.state?.seq ?? 0
    accounts.push({ base, baseSeq, state, changes: joined(changes) })
    for (const key of decided) keys.push({ accountId, key })
  }
  if (accounts.length === 0) return null
  accounts.sort((a, b) => (a.state.accountId < b.state.accountId ? -1 : 1))
  return { epoch, nowMs, accounts, keys }
}

/** The changes of several operations as one: of a lot or hold the last word counts. */
function joined(changes: readonly Changes[]): Changes {
  const [first] = changes
  if (changes.length === 1 && first) return first
  return {
    rows: changes.flatMap((c) => c.rows),
    lots: [...new Map(changes.flatMap((c) => c.lots).map((l) => [l.grantSeq, l])).values()],
    holds: [...new Map(changes.flatMap((c) => c.holds).map((h) => [h.holdSeq, h])).values()],
    refunds: changes.flatMap((c) => c.refunds),
    pending: changes.flatMap((c) => c.pending),
    events: changes.flatMap((c) => c.events),
  }
}
