import { compareLots } from './draft.js'
import type { AccountState, ChargeContext, GrantSource, Hold, LotPart, Row } from './model.js'
import type { AccountWrite, Batch, LoadReply, LoadRequest } from './port.js'

/** The parts of a row or a hold as they are stored: [grant seq, amount, source]. */
type StoredParts = readonly (readonly [number, number, GrantSource])[]
export type Stored<T> = Omit<T, 'parts'> & { readonly parts: StoredParts | null }

/** What `ledger_load` gives. */
export type StoredReply = Omit<LoadReply, 'accounts' | 'rows' | 'charges' | 'holds'> & {
  readonly accounts: readonly StoredAccount[]
  readonly rows: readonly Stored<Row>[]
  readonly charges: readonly (Omit<ChargeContext, 'row'> & {
    readonly row: Stored<Row>
    readonly lots: readonly LoadReply['lots'][number]['lot'][]
  })[]
  readonly holds: readonly { readonly accountId: string; readonly hold: Stored<Hold> }[]
}

export type StoredAccount = Omit<LoadReply['accounts'][number], 'holds'> & {
  readonly holds: readonly Stored<Hold>[]
}

type Value = string | number | boolean | null

/** An array as PostgreSQL reads it: one parameter, however many elements. */
export function arrayLiteral(values: readonly Value[]): string {
  return `{${values.map(element).join(',')}}`
}

function element(value: Value): string {
  if (value === null) return 'NULL'
  if (typeof value !== 'string') return String(value)
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

/** The parameters of `ledger_append`, in its order. */
export function appendParameters(batch: Batch): string[] {
  const { accounts, keys } = batch
  return [
    batch.epoch,
    String(batch.nowMs),
    ...columns(accounts.map(accountValues), 12),
    ...columns(
      keys.map(({ accountId, key }) => [accountId, key]),
      2,
    ),
    ...columns(
      accounts.flatMap(({ changes }) => changes.rows.map(rowValues)),
      16,
    ),
    ...columns(accounts.flatMap(newLotValues), 10),
    ...columns(accounts.flatMap(changedLotValues), 5),
    ...columns(accounts.flatMap(holdValues), 10),
    ...columns(accounts.flatMap(refundValues), 4),
    ...columns(accounts.flatMap(pendingValues), 4),
  ]
}

/** Rows of values as one array literal for each column. */
function columns(rows: readonly (readonly Value[])[], width: number): string[] {
  return Array.from({ length: width }, (_, i) => arrayLiteral(rows.map((row) => row[i] ?? null)))
}

function accountValues({ base, state }: AccountWrite): Value[] {
  const { accountId, version, seq, balance, held, debt, status, tier } = state
  const times = [state.tierExpiresAtMs, state.createdAtMs, state.updatedAtMs]
  return [accountId, base, version, seq, balance, held, debt, status, tier, ...times]
}

function rowValues(row: Row): Value[] {
  return [
    row.accountId,
    row.seq,
    row.type,
    row.action,
    row.amount,
    row.balanceAfter,
    row.heldAfter,
    row.debtAfter,
    row.parts.length > 0 ? storedParts(row.parts) : null,
    row.key,
    row.digest,
    row.actor,
    row.requestId,
    row.detail && JSON.stringify(row.detail),
    row.metadata && JSON.stringify(row.metadata),
    row.createdAtMs,
  ]
}

const storedParts = (parts: readonly LotPart[]): string =>
  JSON.stringify(parts.map(({ grantSeq, amount, source }) => [grantSeq, amount, source]))

function newLotValues({ baseSeq, state, changes }: AccountWrite): Value[][] {
  return changes.lots
    .filter((lot) => lot.grantSeq > baseSeq)
    .map((lot) => [
      state.accountId,
      lot.grantSeq,
      lot.amount,
      lot.remaining,
      lot.held,
      lot.priority,
      lot.expiresAtMs,
      lot.isRevoked,
      lot.source,
      lot.createdAtMs,
    ])
}

function changedLotValues({ baseSeq, state, changes }: AccountWrite): Value[][] {
  return changes.lots
    .filter((lot) => lot.grantSeq <= baseSeq)
    .map((lot) => [state.accountId, lot.grantSeq, lot.remaining, lot.held, lot.isRevoked])
}

function holdValues({ state, changes }: AccountWrite): Value[][] {
  return changes.holds.map((hold) => [
    state.accountId,
    hold.holdSeq,
    hold.amount,
    hold.captured,
    hold.settledSeq,
    hold.expiresAtMs,
    hold.status,
    hold.action,
    storedParts(hold.parts),
    hold.createdAtMs,
  ])
}

const refundValues = ({ state, changes }: AccountWrite): Value[][] =>
  changes.refunds.map((r) => [state.accountId, r.chargeSeq, r.refundSeq, r.amount])

const pendingValues = ({ state, changes }: AccountWrite): Value[][] =>
  changes.pending.map((w) => [state.accountId, w.id, w.kind, JSON.stringify(w.payload)])

/** The parameters of `ledger_load`, in its order. */
export function loadParameters(request: LoadRequest): string[] {
  const parts = (list: LoadRequest['charges']) =>
    columns(
      list.map(({ accountId, seq }) => [accountId, seq]),
      2,
    )
  return [
    arrayLiteral(request.accounts),
    ...columns(
      request.keys.map(({ accountId, key }) => [accountId, key]),
      2,
    ),
    ...parts(request.charges),
    ...parts(request.holds),
    ...parts(request.lots),
  ]
}

/** The reply of `ledger_load` in the shapes of the rules. */
export function loadReply(stored: StoredReply): LoadReply {
  const chargeLots = stored.charges.flatMap(({ row, lots }) =>
    lots.map((lot) => ({ accountId: row.accountId, lot })),
  )
  return {
    ...stored,
    accounts: stored.accounts.map(accountState),
    rows: stored.rows.map(rowFrom),
    charges: stored.charges.map(({ row, refunded }) => ({ row: rowFrom(row), refunded })),
    holds: stored.holds.map(({ accountId, hold }) => ({ accountId, hold: holdFrom(hold) })),
    lots: [...stored.lots, ...chargeLots],
  }
}

export const rowFrom = (row: Stored<Row>): Row => ({ ...row, parts: partsFrom(row.parts) })
export const holdFrom = (hold: Stored<Hold>): Hold => ({ ...hold, parts: partsFrom(hold.parts) })

const partsFrom = (parts: StoredParts | null): LotPart[] =>
  (parts ?? []).map(([grantSeq, amount, source]) => ({ grantSeq, amount, source }))

/** Lots come from the database in no order, and are kept in the order in which they pay. */
export const accountState = (account: StoredAccount): AccountState => ({
  ...account,
  lots: account.lots.toSorted(compareLots),
  holds: account.holds.map(holdFrom),
})
