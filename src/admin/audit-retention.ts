import { asc, lt, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { auditLogs } from './tables.js'

const DAY_MS = 86_400_000
/** Deleted at once, so that a clean-up never holds many rows, or the disk, for long. */
const SLICE_ROWS = 5_000

export type AuditRetentionDeps = {
  readonly orm: NodePgDatabase
  /** Ms since the epoch. */
  readonly now: () => number
  /** How long entries are kept; 0: for ever. */
  readonly keptDays: number
  readonly sliceRows?: number
}

/**
 * Gives what deletes the entries of the audit log that are older than they are kept, oldest first
 * and slice by slice, and tells how many went. Aborted, it ends after its slice. Ledger rows, which
 * the log shows too, always stay. Safe to repeat.
 */
export function createAuditRetention(
  deps: AuditRetentionDeps,
): (signal?: AbortSignal) => Promise<number> {
  const { orm, now, keptDays, sliceRows = SLICE_ROWS } = deps
  return async (signal) => {
    if (keptDays === 0) return 0
    const oldest = new Date(now() - keptDays * DAY_MS)
    let count = 0
    while (!signal?.aborted) {
      const slice = orm
        .select({ id: auditLogs.id })
        .from(auditLogs)
        .where(lt(auditLogs.createdAt, oldest))
        .orderBy(asc(auditLogs.createdAt), asc(auditLogs.id))
        .limit(sliceRows)
      const gone = await orm.delete(auditLogs).where(sql`${auditLogs.id} in (${slice})`)
      count += gone.rowCount ?? 0
      if ((gone.rowCount ?? 0) < sliceRows) break
    }
    return count
  }
}
