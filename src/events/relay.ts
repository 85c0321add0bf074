import { sql } from 'drizzle-orm'
import type { Database } from '../db/open.js'
import { inTransaction, type Transaction } from '../db/transaction.js'

/** Placed at once: enough for the busiest second, and little enough to hold no lock for long. */
const PAGE = 2_000
/** What one run takes on at most; the next run comes in a second. */
const MAX_PAGES = 250
const DEADLINE_MS = 5_000

export type RelayDeps = {
  readonly db: Pick<Database, 'pool' | 'orm'>
  /** Ms since the epoch. */
  readonly now: () => number
  /** Placed at once. */
  readonly page?: number
}

/**
 * Gives committed events their place in the feed: `position`, without gaps over all accounts, and
 * `accountSeq` within the account, in the order of the facts; and notes to whom each is to be sent.
 * All of a page becomes visible at once, and after every page before it, so that a reader who goes
 * on after the last position it saw skips nothing. Any number of instances may run it: one works,
 * the others find nothing to do. Gives how many it placed. Safe to repeat.
 */
export const createRelay =
  ({ db, now, page = PAGE }: RelayDeps) =>
  async (signal?: AbortSignal): Promise<number> => {
    let count = 0
    for (let pages = 0; pages < MAX_PAGES && !signal?.aborted; pages += 1) {
      // to look costs nothing; to lock would write every second, by every instance
      if (!(await hasUnplaced(db))) break
      const placed = await inTransaction(db, (tx) => placePage(tx, page, now()), {
        deadlineMs: DEADLINE_MS,
        isRepeatable: true,
      })
      count += placed
      if (placed < page) break
    }
    return count
  }

async function hasUnplaced({ orm }: RelayDeps['db']): Promise<boolean> {
  const { rows } = await orm.execute<{ found: boolean }>(
    sql`select exists (select from events where position is null) as found`,
  )
  return rows[0]?.found === true
}

async function placePage(tx: Transaction, page: number, nowMs: number): Promise<number> {
  const lock = await tx.execute<{ last: number }>(
    sql`select last_position as last from event_relay where id = 1 for update skip locked`,
  )
  const last = lock.rows[0]?.last
  if (last === undefined) return 0
  await tx.execute(PLANNED)
  // held until the commit, so that none of them is deleted meanwhile
  await tx.execute(sql`select id from webhook_endpoints where enabled order by id for key share`)
  // a statement of its own: only now it sees all that the holder before us has placed
  const { rows } = await tx.execute<{ count: number }>(placement(last, page, new Date(nowMs)))
  return rows[0]?.count ?? 0
}

/**
 * Along the index of what waits, whatever the statistics say: they are of a time when nothing did,
 * and to sort all that waits for each page would take the longer the more there is.
 */
const PLANNED = sql`
  select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)`

/**
 * The number that an id of the ledger begins with is the seq of its row: within a millisecond it
 * tells which fact came first. Two in one row are told apart by the rest. A page takes all that an
 * account has in its last millisecond, so that their order is not cut.
 */
const pageOf = (page: number) => sql`
  next as (
    select account_id, id, created_at,
           substring(id from '^([0-9]{1,16}):')::bigint as fact_seq
      from events
     where position is null
     order by created_at, account_id
     fetch first ${page} rows with ties
  ), page as (
    select account_id, id, row_number() over all_of_them as nth,
           row_number() over of_account as nth_of_account,
           count(*) over (partition by account_id) as of_account
      from next
    window all_of_them as (order by created_at, account_id, fact_seq nulls last, id),
           of_account as (partition by account_id order by created_at, fact_seq nulls last, id)
  )`

const placement = (last: number, page: number, now: Date) => sql`
  with ${pageOf(page)}, sequences as (
    insert into event_sequences (account_id, last_seq)
    select account_id, count(*) from page group by account_id order by account_id
    on conflict (account_id) do update
      set last_seq = event_sequences.last_seq + excluded.last_seq
    returning account_id, last_seq
  ), placed as (
    update events e
       set position = ${last} + p.nth,
           account_seq = s.last_seq - p.of_account + p.nth_of_account
      from page p
      join sequences s on s.account_id = p.account_id
     where e.account_id = p.account_id
       and e.id = p.id
    returning e.account_id, e.id, e.position, e.type, e.created_at
  ), sent as (
    insert into event_deliveries (endpoint_id, position, account_id, event_id, type, created_at,
                                  status, attempts, next_attempt_at)
    select w.id, p.position, p.account_id, p.id, p.type, p.created_at, 'pending', 0, ${now}
      from placed p
      join webhook_endpoints w on w.enabled and (w.types is null or p.type = any (w.types))
  )
  update event_relay
     set last_position = last_position + (select count(*) from placed)
   where id = 1
  returning (select count(*) from placed) as count`
