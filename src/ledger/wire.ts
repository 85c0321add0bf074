import type { ChargeContext } from './decision.js'
import { compareLots } from './lots.js'
import type { AccountState, GrantSource, Hold, LotPart, Row } from './model.js'
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

/** An array of plain values as PostgreSQL reads it: one parameter, however many elements. */
const arrayOf = (values: readonly (string | number)[]): string =>
  `{${values.map((value) => (typeof value === 'number' ? value : quoted(value))).join(',')}}`

const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`

/** Account ids as one parameter. */
export const idsOf = (accountIds: readonly string[]): string => arrayOf(accountIds)

/** An array of composite values. */
const rowsOf = (rows: readonly (readonly Value[])[]): string =>
  `{${rows.map((row) => `"(${row.map(field).join(',')})"`).join(',')}}`

/** Text that stands for itself within a composite value within an array. */
const PLAIN = /^[\w.:@/+-]+$/

/** Within a composite value a quote is doubled, a backslash too; the array escapes both again. */
function field(value: Value): string | number | boolean {
  if (value === null) return ''
  if (typeof value !== 'string' || PLAIN.test(value)) return value
  return `\\"${value.replaceAll('\\', '\\\\\\\\').replaceAll('"', '\\"\\"')}\\"`
}

/** The parameters of `ledger_append`, in its order. */
export function appendParameters({ epoch, nowMs, accounts, keys }: Batch): string[] {
  const written = accounts.filter(({ base, state }) => state.version !== base)
  return [
    epoch,
    String(nowMs),
    arrayOf(accounts.map(({ state }) => state.accountId)),
    arrayOf(accounts.map(({ base }) => base)),
    rowsOf(keys.map(({ accountId, key }) => [accountId, key])),
    rowsOf(written.map(accountValues)),
    rowsOf(written.flatMap(({ changes }) => changes.rows.map(rowValues))),
    rowsOf(written.flatMap(newLotValues)),
    rowsOf(written.flatMap(changedLotValues)),
    rowsOf(written.flatMap(holdValues)),
    rowsOf(written.flatMap(refundValues)),
    rowsOf(written.flatMap(pendingValues)),
    rowsOf(written.flatMap(eventValues)),
  ]
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

const eventValues = ({ changes }: AccountWrite): Value[][] =>
  changes.events.map((e) => [e.accountId, e.id, e.type, JSON.stringify(e.data), e.createdAtMs])

/** The parameters of `ledger_load`, in its order. */
export function loadParameters(request: LoadRequest): string[] {
  const { accounts, keys, charges, holds, lots } = request
  const parts = [charges, holds, lots].map((list) =>
    rowsOf(list.map(({ accountId, seq }) => [accountId, seq])),
  )
  return [idsOf(accounts), rowsOf(keys.map(({ accountId, key }) => [accountId, key])), ...parts]
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
    charges: stored.charges.map(({ lots: _, ...charge }) => ({
      ...charge,
      row: rowFrom(charge.row),
    })),
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
