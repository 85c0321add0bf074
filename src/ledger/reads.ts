import type { Reader } from '../db/reader.js'
import type {
  AccountState,
  GrantSource,
  Hold,
  HoldStatus,
  Lot,
  Row,
  TransactionType,
} from './model.js'
import { settled } from './rules.js'
import { readUsage, type UsageGroup, type UsageMemory, type UsageQuery } from './usage.js'
import { accountState, holdFrom, rowFrom, type Stored, type StoredAccount } from './wire.js'

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
  /** Holds, newest first; one past its deadline has expired, whether swept or not. */
  holds(
    accountId: string,
    page: { beforeSeq: number | null; limit: number; status: HoldStatus | null },
  ): Promise<readonly Hold[]>
  /**
   * All groups of the period, also those that `memory` has of just these rows. Throws
   * `limit_exceeded` for more than 10,000.
   */
  usage(query: UsageQuery, memory?: UsageMemory): Promise<readonly UsageGroup[]>
  /** Accounts with lots or holds whose time has come, for the sweep. */
  dueAccounts(limit: number): Promise<readonly string[]>
}

const STATE_AT = 'select ledger_state_at($1, from_ms($2)) as value'

const HISTORY = `
  select ledger_row_json(t) as value
    from ledger_rows t
   where t.account_id = $1
     and t.seq > case when $2::bigint is null then 0
                      else ledger_seq_at($1, from_ms($2 - 1)) end
     and t.seq <= ledger_seq_at($1, from_ms($3))
     and ($4::bigint is null or t.seq < $4)
     and ($5::text is null or t.action = $5)
     and ($6::text is null or t.type = $6)
   order by t.seq desc
   limit $7`

const TRANSACTION = `
  select ledger_row_json(t) as value from ledger_rows t where t.account_id = $1 and t.seq = $2`

const GRANTS = `
  select ledger_lot_json(g) as value
    from grants g
   where g.account_id = $1 and ($2::bigint is null or g.grant_seq < $2)
   order by g.grant_seq desc
   limit $3`

const HOLD = `
  select ledger_hold_json(h) as value from holds h where h.account_id = $1 and h.hold_seq = $2`

const HOLDS = `
  select ledger_hold_json(h) as value
    from holds h
   where h.account_id = $1
     and ($2::bigint is null or h.hold_seq < $2)
     and ($3::text is null
          or $3 = case when h.status = 'active' and h.expires_at <= now() then 'expired'
                       else h.status end)
   order by h.hold_seq desc
   limit $4`

const DUE_ACCOUNTS = `
  select d.account_id as value
    from (
      (select account_id from grants
        where live and expires_at is not null and expires_at <= now() and remaining > held
        order by expires_at limit $1)
      union
      (select account_id from holds
        where status = 'active' and expires_at <= now()
        order by expires_at limit $1)) d
   limit $1`

export function createReads(reader: Reader): LedgerReads {
  const one = async <T>(text: string, values: unknown[]): Promise<T | null> => {
    const { rows } = await reader.query<{ value: T }>({ text, values })
    return rows[0]?.value ?? null
  }
  const all = async <T>(text: string, values: unknown[]): Promise<T[]> => {
    const { rows } = await reader.query<{ value: T }>({ text, values })
    return rows.map((row) => row.value)
  }

  return {
    async balanceAt(accountId, atMs) {
      const stored = await one<StoredAccount>(STATE_AT, [accountId, atMs])
      return stored && balanceOf(settled(accountState(stored), atMs))
    },
    async history({ accountId, beforeSeq, limit, fromMs, toMs, action, type }) {
      const values = [accountId, fromMs, toMs, beforeSeq, action, type, limit]
      return (await all<Stored<Row>>(HISTORY, values)).map(rowFrom)
    },
    async transaction(accountId, seq) {
      const row = await one<Stored<Row>>(TRANSACTION, [accountId, seq])
      return row && rowFrom(row)
    },
    grants: (accountId, { beforeSeq, limit }) => all<Lot>(GRANTS, [accountId, beforeSeq, limit]),
    async hold(accountId, holdSeq) {
      const hold = await one<Stored<Hold>>(HOLD, [accountId, holdSeq])
      return hold && holdFrom(hold)
    },
    async holds(accountId, { beforeSeq, limit, status }) {
      return (await all<Stored<Hold>>(HOLDS, [accountId, beforeSeq, status, limit])).map(holdFrom)
    },
    usage: (query, memory) => readUsage(reader, query, memory),
    dueAccounts: (limit) => all<string>(DUE_ACCOUNTS, [limit]),
  }
}

/** What an account has, by where it came from; lots of all kinds add up to the balance. */
export function balanceOf(state: AccountState): BalanceView {
  const { accountId, balance, held, debt, seq } = state
  const buckets = { monthly: 0, bonus: 0, purchased: 0 }
  for (const lot of state.lots) buckets[lot.source] += lot.remaining
  return { accountId, balance, available: balance - held, held, debt, seq, buckets }
}
