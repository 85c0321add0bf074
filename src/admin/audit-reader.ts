import { and, desc, eq, gte, lte, type SQL, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { decodeCursor, encodeCursor, type Page } from '../http/page.js'
import { isoOf, msOf } from '../http/schema.js'
import { encodeId } from '../ledger/ids.js'
import { TRANSACTION_TYPES, type TransactionType } from '../ledger/model.js'
import type { AuditQuery, AuditView } from './schema.js'
import { auditLogs } from './tables.js'

/**
 * Ledger rows have no order by time over all accounts but what a block range index gives: they are
 * read window by window, each twice as long as the one before, from a minute to past a century.
 */
const FIRST_WINDOW_MS = 60_000
const MAX_WINDOWS = 27

export type AuditReader = {
  /**
   * Who did what, newest first: ledger rows and the entries of the audit log, of one account or of
   * all, in one order that never changes. Rows of an account are in the order of their seq, entries
   * of an instance in that in which they were made. Pages neither lose nor repeat an entry.
   */
  list(query: AuditQuery): Promise<Page<AuditView>>
}

/** Where a page ends in each of the two sources. */
type Position = {
  readonly ms: number
  readonly log: readonly [ms: number, id: string] | null
  readonly row: readonly [ms: number, accountId: string, seq: number] | null
}

type Found = { readonly ms: number; readonly view: AuditView } & (
  | { readonly source: 'log'; readonly at: NonNullable<Position['log']> }
  | { readonly source: 'row'; readonly at: NonNullable<Position['row']> }
)

type Wanted = {
  readonly accountId: string | undefined
  readonly action: string | undefined
  readonly status: AuditQuery['status']
  readonly fromMs: number | null
  /** Infinity: up to the newest, whatever its clock said. */
  readonly toMs: number
  readonly nowMs: number
  readonly after: Position | null
  /** One more than a page. */
  readonly count: number
}

export type AuditReaderDeps = {
  readonly orm: NodePgDatabase
  readonly now: () => number
  /** Writes what waits here, so that callers see what they have just done. */
  readonly flush: () => Promise<void>
}

export function createAuditReader(deps: AuditReaderDeps): AuditReader {
  return {
    async list({ accountId, action, status, from, to, cursor, limit }) {
      // the log can be read although it can not be written
      await deps.flush().catch(() => {})
      const after = decodeCursor(cursor, isPosition)
      const endMs = Math.min(msOf(to) ?? Infinity, after?.ms ?? Infinity)
      const scope = { accountId, action, status, fromMs: msOf(from), toMs: endMs }
      const wanted = { ...scope, nowMs: deps.now(), after, count: limit + 1 }
      const found = (
        await Promise.all([findLogs(deps.orm, wanted), findRows(deps.orm, wanted)])
      ).flat()
      found.sort(newestFirst)
      const page = found.slice(0, limit)
      const items = page.map(({ view }) => view)
      const isMore = found.length > limit
      return { items, nextCursor: isMore ? encodeCursor(positionAfter(page, after)) : null }
    },
  }
}

/**
 * Within a millisecond each source keeps its own order, and rows come after the entries of the log:
 * an entry has the time of its answer, a row that of its decision, a commit before its answer. So
 * what came after a row was answered has, as good as always, a later millisecond.
 */
const newestFirst = (a: Found, b: Found): number =>
  b.ms - a.ms || (a.source === b.source ? 0 : a.source === 'row' ? -1 : 1)

function positionAfter(page: readonly Found[], before: Position | null): Position {
  const log = page.findLast((found) => found.source === 'log')
  const row = page.findLast((found) => found.source === 'row')
  return {
    ms: page.at(-1)?.ms ?? 0,
    log: log?.at ?? before?.log ?? null,
    row: row?.at ?? before?.row ?? null,
  }
}

async function findLogs(orm: NodePgDatabase, wanted: Wanted): Promise<Found[]> {
  const { accountId, action, status, fromMs, toMs, after, count } = wanted
  const t = auditLogs
  const rows = await orm
    .select()
    .from(t)
    .where(
      and(
        accountId === undefined ? undefined : eq(t.accountId, accountId),
        action === undefined ? undefined : eq(t.action, action),
        status === undefined ? undefined : eq(t.status, status),
        fromMs === null ? undefined : gte(t.createdAt, new Date(fromMs)),
        toMs === Infinity ? undefined : lte(t.createdAt, new Date(toMs)),
        after?.log
          ? sql`(${t.createdAt}, ${t.id}) < (${at(after.log[0])}, ${after.log[1]})`
          : undefined,
      ),
    )
    .orderBy(desc(t.createdAt), desc(t.id))
    .limit(count)
  return rows.map(({ id, createdAt, errorCode, errorMessage, metadata, ...row }) => ({
    source: 'log',
    ms: createdAt.getTime(),
    at: [createdAt.getTime(), id],
    view: {
      id,
      accountId: row.accountId,
      action: row.action,
      status: row.status,
      metadata: metadata as AuditView['metadata'],
      errorCode,
      errorMessage,
      actor: row.actor,
      requestId: row.requestId,
      createdAt: isoOf(createdAt.getTime()),
    },
  }))
}

async function findRows(orm: NodePgDatabase, wanted: Wanted): Promise<Found[]> {
  const { accountId, action, status, after, count } = wanted
  const type = TRANSACTION_TYPES.find((known) => known === action)
  if (status === 'failed' || (action !== undefined && type === undefined)) return []
  if (accountId !== undefined) {
    const position = after?.row ? sql`and seq < ${after.row[2]}` : sql``
    const where = sql`account_id = ${accountId} ${position} ${inTime(wanted, null)} ${ofType(type)}`
    return readRows(orm, where, sql`seq desc`, count)
  }
  const found: Found[] = []
  let toMs = wanted.toMs
  for (let window = 0; window < MAX_WINDOWS && found.length < count; window++) {
    const fromMs = Math.min(toMs, wanted.nowMs) - FIRST_WINDOW_MS * 2 ** window
    const position = after?.row
      ? sql`and (created_at, account_id, seq) <
              (${at(after.row[0])}, ${after.row[1]}, ${after.row[2]})`
      : sql``
    const where = sql`true ${inTime({ ...wanted, toMs }, fromMs)} ${position} ${ofType(type)}`
    const order = sql`created_at desc, account_id desc, seq desc`
    found.push(...(await readRows(orm, where, order, count - found.length)))
    if (wanted.fromMs !== null && fromMs < wanted.fromMs) break
    toMs = fromMs - 1
  }
  return found
}

const at = (ms: number): SQL => sql`${new Date(ms).toISOString()}::timestamptz`
const ofType = (type: TransactionType | undefined): SQL =>
  type === undefined ? sql`` : sql`and type = ${type}`

/** Both ends inclusive; times have whole milliseconds. */
function inTime({ fromMs, toMs }: Wanted, windowFromMs: number | null): SQL {
  const least = Math.max(fromMs ?? -Infinity, windowFromMs ?? -Infinity)
  const lower = Number.isFinite(least) ? sql`and created_at >= ${at(least)}` : sql``
  const upper = Number.isFinite(toMs) ? sql`and created_at <= ${at(toMs)}` : sql``
  return sql`${lower} ${upper}`
}

type LedgerRow = {
  readonly account_id: string
  readonly seq: number
  readonly type: TransactionType
  readonly action: string | null
  readonly amount: number
  readonly actor: string
  readonly request_id: string | null
  readonly metadata: AuditView['metadata']
  readonly created_at: Date | string
}

async function readRows(
  orm: NodePgDatabase,
  where: SQL,
  order: SQL,
  count: number,
): Promise<Found[]> {
  const { rows } = await orm.execute<LedgerRow>(sql`
    select account_id, seq, type, action, amount, actor, request_id, metadata, created_at
      from ledger_rows
     where ${where}
     order by ${order}
     limit ${count}`)
  return rows.map((row) => foundOf(row, new Date(row.created_at).getTime()))
}

function foundOf(row: LedgerRow, ms: number): Found {
  const { account_id: accountId, seq, type, action, amount, metadata } = row
  return {
    source: 'row',
    ms,
    at: [ms, accountId, seq],
    view: {
      id: encodeId('txn', accountId, seq),
      accountId,
      action: type,
      status: 'success',
      metadata: { seq, amount, action, metadata },
      errorCode: null,
      errorMessage: null,
      actor: row.actor,
      requestId: row.request_id,
      createdAt: isoOf(ms),
    },
  }
}

function isPosition(value: unknown): value is Position {
  if (typeof value !== 'object' || value === null) return false
  const { ms, log, row } = value as { ms?: unknown; log?: unknown; row?: unknown }
  return isTime(ms) && isPlace(log, 2) && isPlace(row, 3)
}

function isPlace(place: unknown, length: number): boolean {
  if (place === null) return true
  if (!Array.isArray(place) || place.length !== length || !isTime(place[0])) return false
  const [, id, seq] = place as unknown[]
  const isId = typeof id === 'string' && id.length <= 256 && !id.includes('\0')
  return isId && (length === 2 || Number.isSafeInteger(seq))
}

/** What a Date can hold and PostgreSQL can compare with. */
const isTime = (ms: unknown): ms is number =>
  Number.isSafeInteger(ms) && (ms as number) >= 0 && (ms as number) < 253_402_300_800_000
