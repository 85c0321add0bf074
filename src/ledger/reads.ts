import type { GrantSource, Hold, HoldStatus, Lot, Row, TransactionType } from './model.js'

export type BalanceView = {
  readonly accountId: string
  readonly balance: number
  readonly available: number
  readonly held: number
  readonly debt: number
  readonly seq: number
  readonly buckets: Readonly<Record<GrantSource, number>>
}

export type HistoryQuery = {
  readonly accountId: string
  /** Rows with a smaller seq only. */
  readonly beforeSeq: number | null
  readonly limit: number
  /** Both inclusive. */
  readonly fromMs: number | null
  readonly toMs: number | null
  readonly action: string | null
  readonly type: TransactionType | null
}

export type UsageQuery = {
  readonly accountId: string
  readonly fromMs: number | null
  readonly toMs: number | null
  readonly groupBy: 'action' | 'day'
}

/** Credits spent and given back in one group; `group` is the action, or the UTC day. */
export type UsageGroup = {
  readonly group: string | null
  readonly charged: number
  readonly refunded: number
  readonly count: number
}

/** Plain reads of the ledger; they see what is committed and never wait for a writer. */
export type LedgerReads = {
  /** The balance as of an instant; null when the account did not exist then. */
  balanceAt(accountId: string, atMs: number): Promise<BalanceView | null>
  /** Newest first. */
  history(query: HistoryQuery): Promise<readonly Row[]>
  transaction(accountId: string, seq: number): Promise<Row | null>
  /** Lots, newest first, live or not. */
  grants(
    accountId: string,
    page: { beforeSeq: number | null; limit: number },
  ): Promise<readonly Lot[]>
  hold(accountId: string, holdSeq: number): Promise<Hold | null>
  /** Holds, newest first. */
  holds(
    accountId: string,
    page: { beforeSeq: number | null; limit: number; status: HoldStatus | null },
  ): Promise<readonly Hold[]>
  usage(query: UsageQuery): Promise<readonly UsageGroup[]>
}
