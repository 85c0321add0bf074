import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { AuditEntry, AuditSink } from '../http/audit.js'
import { auditLogs } from './tables.js'

/** Refusals come in bursts: they are gathered this long, or until there are this many. */
const FLUSH_AFTER_MS = 200
const FLUSH_AT = 200
const RETRY_AFTER_MS = 2_000
/** While the database is away the log waits here; beyond this the newest entries are given up. */
const MAX_WAITING = 10_000

export type AuditWriterDeps = {
  readonly orm: NodePgDatabase
  readonly newId: () => string
  /** Ms since the epoch. */
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

type Row = typeof auditLogs.$inferInsert

/** Writes the audit log in batches beside the work, never in its transactions. */
export function createAuditWriter(deps: AuditWriterDeps): AuditWriter {
  const { orm, newId, now, onTrouble } = deps
  let waiting: Row[] = []
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()
  let lost = 0

  async function writeOut(): Promise<void> {
    while (waiting.length > 0) {
      const rows = waiting.slice(0, FLUSH_AT)
      // a batch that was written although its reply was lost is not written twice
      await orm.insert(auditLogs).values(rows).onConflictDoNothing()
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
      waiting.push(rowOf(entry, newId(), now()))
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

const rowOf = (entry: AuditEntry, id: string, nowMs: number): Row => ({
  id,
  accountId: entry.accountId,
  action: entry.action,
  status: entry.status,
  actor: entry.actor,
  requestId: entry.requestId,
  errorCode: entry.errorCode,
  errorMessage: entry.errorMessage,
  metadata: entry.metadata,
  createdAt: new Date(nowMs),
})
