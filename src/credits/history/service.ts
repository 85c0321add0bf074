import { AppError } from '../../errors.js'
import { decodeCursor, isSeq, type Page, pageOf } from '../../http/page.js'
import { isoOf, msOf } from '../../http/schema.js'
import { decodeId } from '../../ledger/ids.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { LedgerReads } from '../../ledger/reads.js'
import type { UsageGroup } from '../../ledger/usage.js'
import type { CacheStore } from '../../stores/cache/store.js'
import { mustExist } from '../accounts/must-exist.js'
import { type Transaction, transactionOf } from '../transaction.js'
import type { HistoryFilter, Usage, UsageFilter } from './schema.js'
import { createUsageMemory } from './usage-memory.js'

export type HistoryDeps = {
  readonly ledger: Ledger
  readonly reads: LedgerReads
  readonly cache: CacheStore
}

export type History = {
  /**
   * Transactions of an account, newest first. No page loses or repeats one while others write.
   * Throws `account_not_found`.
   */
  list(accountId: string, filter: HistoryFilter): Promise<Page<Transaction>>
  /** Throws `transaction_not_found`, also for one of another account where there is an owner. */
  get(transactionId: string, ownerId: string | null): Promise<Transaction>
  /**
   * What was charged and refunded, by action or by day. Throws `account_not_found`, and
   * `limit_exceeded` for more groups than one reply has.
   */
  usage(accountId: string, filter: UsageFilter): Promise<Usage>
}

export function createHistory({ ledger, reads, cache }: HistoryDeps): History {
  const memory = createUsageMemory(cache)
  return {
    async list(accountId, { cursor, limit, from, to, action = null, type = null }) {
      const rows = await reads.history({
        accountId,
        beforeSeq: decodeCursor(cursor, isSeq),
        limit: limit + 1,
        fromMs: msOf(from),
        toMs: msOf(to),
        action,
        type,
      })
      if (rows.length === 0) await mustExist(ledger, accountId)
      const { items, nextCursor } = pageOf(rows, limit, (row) => row.seq)
      return { items: items.map(transactionOf), nextCursor }
    },

    async get(transactionId, ownerId) {
      const named = decodeId('txn', transactionId)
      const isTheirs = named !== null && (ownerId === null || named.accountId === ownerId)
      const row = isTheirs ? await reads.transaction(named.accountId, named.seq) : null
      if (row) return transactionOf(row)
      throw new AppError('transaction_not_found', 'There is no such transaction')
    },

    async usage(accountId, { from, to, groupBy }) {
      const fromMs = msOf(from)
      const toMs = msOf(to)
      const groups = await reads.usage({ accountId, fromMs, toMs, groupBy }, memory)
      if (groups.length === 0) await mustExist(ledger, accountId)
      const named = groups.map((group) =>
        groupBy === 'action'
          ? { action: group.group, ...figuresOf([group]) }
          : { day: group.group ?? '', ...figuresOf([group]) },
      )
      const period = { from: isoOf(fromMs), to: isoOf(toMs) }
      return { accountId, groupBy, ...period, usage: named, total: figuresOf(groups) }
    },
  }
}

function figuresOf(groups: readonly UsageGroup[]) {
  const sum = (of: (group: UsageGroup) => number) => groups.reduce((n, g) => n + of(g), 0)
  const charged = sum((group) => group.charged)
  const refunded = sum((group) => group.refunded)
  return { charged, refunded, net: charged - refunded, count: sum((group) => group.count) }
}
