import { sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { sqlStateOf } from '../db/errors.js'
import type { AuditEntry, AuditSink } from '../http/audit.js'
import { createStamps, type Stamp } from './audit-stamp.js'
import { auditLogs } from './tables.js'

/** Refusals come in bursts: they are gathered this long, or until there are this many. */
const FLUSH_AFTER_MS = 200
const FLUSH_AT = 200
const RETRY_AFTER_MS = 2_000
/** What one statement writes: a megabyte or two where every entry holds a large body. */
const MAX_BATCH = 500
/** Longer messages say nothing more. */
const MAX_MESSAGE_LENGTH = 1_000
/** While the database is away the log waits here; beyond this the newest entries are given up. */
const MAX_WAITING = 10_000

export type AuditWriterDeps = {
  readonly orm: NodePgDatabase
  /** A uuid of version 4. */
  readonly newId: () => string
  /** Ms since the epoch; the clock that dates ledger rows, for the two are read as one list. */
  readonly now: () => number
  /** Entries could not be written (they will be tried again), or had to be given up. */
  readonly onTrouble: (trouble: { readonly error?: unknown; readonly lost: number }) => void
}

export type AuditWriter = AuditSink & {
  /** Writes what waits; throws what the database throws. */
  flush(): Promise<void>
  /** Writes what waits, or says what is lost. */
  close(): Promise<void>
  stats(): { readonly waiting: number; readonly lost: number }
}

type Row = {
  readonly id: string
  readonly account_id: string | null
  readonly action: string
  readonly status: AuditEntry['status']
  readonly actor: string
  readonly request_id: string
  readonly error_code: string | null
  readonly error_message: string | null
  readonly metadata: AuditEntry['metadata']
  readonly created_at: string
}

/** Writes the audit log in batches beside the work, never in its transactions. */
export function createAuditWriter(deps: AuditWriterDeps): AuditWriter {
  const { orm, onTrouble } = deps
  const stamp = createStamps(deps)
  let waiting: Row[] = []
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()
  let lost = 0

  async function writeOut(): Promise<void> {
    while (waiting.length > 0) {
      const rows = waiting.slice(0, MAX_BATCH)
      await insert(orm, rows).catch((error: unknown) => {
        // what can not be stored now can never be: it must not hold up the rest
        if (!sqlStateOf(error)?.startsWith('22')) throw error
        lost += rows.length
        onTrouble({ error, lost: rows.length })
      })
      waiting = waiting.slice(rows.length)
    }
  }

  function flush(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    writing = writing.catch(() => {}).then(writeOut)
    return writing
  }

  function flushSoon(delayMs: number): void {
    timer ??= setTimeout(() => {
      flush().catch((error: unknown) => {
        onTrouble({ error, lost: 0 })
        flushSoon(RETRY_AFTER_MS)
      })
    }, delayMs).unref()
  }

  return {
    record(entry) {
      if (waiting.length >= MAX_WAITING) {
        if (lost === 0) onTrouble({ lost: 1 })
        lost += 1
        return
      }
      waiting.push(rowOf(entry, stamp()))
      flushSoon(waiting.length % FLUSH_AT === 0 ? 0 : FLUSH_AFTER_MS)
    },
    flush,
    async close() {
      await flush().catch((error: unknown) => onTrouble({ error, lost: waiting.length }))
      clearTimeout(timer)
    },
    stats: () => ({ waiting: waiting.length, lost }),
  }
}

/**
 * All rows as one parameter: a third of the work of one for each value. A batch that was written
 * although its reply was lost is not written twice.
 */
async function insert(orm: NodePgDatabase, rows: readonly Row[]): Promise<void> {
  await orm.execute(sql`
    insert into ${auditLogs} (id, account_id, action, status, actor, request_id, error_code,
                              error_message, metadata, created_at)
    select id, account_id, action, status, actor, request_id, error_code,
           error_message, metadata, created_at
      from json_to_recordset(${JSON.stringify(rows)}::json)
        as r(id text, account_id text, action text, status text, actor text, request_id text,
             error_code text, error_message text, metadata jsonb, created_at timestamptz)
        on conflict do nothing`)
}

const rowOf = (entry: AuditEntry, { id, atMs }: Stamp): Row => ({
  id,
  account_id: entry.accountId,
  action: entry.action,
  status: entry.status,
  actor: entry.actor,
  request_id: entry.requestId,
  error_code: entry.errorCode,
  error_message: entry.errorMessage && storable(entry.errorMessage),
  metadata: entry.metadata,
  created_at: new Date(atMs).toISOString(),
})

/** A message may quote the request, and so hold what a database can not. */
const storable = (text: string): string =>
  text.slice(0, MAX_MESSAGE_LENGTH).replace(/[\0\p{Surrogate}]/gu, '\ufffd')
