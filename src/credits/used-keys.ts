import { and, eq } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { AppError } from '../errors.js'
import type { Operation } from '../ledger/model.js'
import { transactions, transactionsArchive } from '../ledger/tables.js'

/**
 * Throws the refusal unless the operation has been applied before: what time or another account
 * has made impossible since then must not hide the first answer from whoever repeats the call.
 */
export type RefuseUnlessApplied = (operation: Operation, refusal: AppError | null) => Promise<void>

export function createRefuseUnlessApplied(orm: NodePgDatabase): RefuseUnlessApplied {
  return async ({ accountId, key }, refusal) => {
    if (refusal === null) return
    for (const table of [transactions, transactionsArchive]) {
      const [row] = await orm
        .select({ seq: table.seq })
        .from(table)
        .where(and(eq(table.accountId, accountId), eq(table.key, key)))
      if (row) return
    }
    throw refusal
  }
}
