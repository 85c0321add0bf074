import { sql } from 'drizzle-orm'
import type { Database } from '../db/open.js'
import { inTransaction, type Transaction } from '../db/transaction.js'
import { isoOf } from '../http/schema.js'
import { encodeId } from '../ledger/ids.js'
import { enqueueEvents } from '../ledger/outbox.js'
import type { EventType } from './event-types.js'

const DAY_MS = 24 * 3_600_000
/** How long ahead it is told; a lot that does not live longer in all is not told of. */
const AHEAD_MS = 3 * DAY_MS
const PAGE = 1_000
/** One run takes on at most a million lots; the next comes in an hour. */
const MAX_PAGES = 1_000
const DEADLINE_MS = 5_000

export type ExpiringDeps = {
  readonly db: Pick<Database, 'pool' | 'orm'>
  /** Ms since the epoch. */
  readonly now: () => number
  /** Looked at together. */
  readonly page?: number
}

type Lot = {
  readonly account_id: string
  readonly grant_seq: number
  readonly remaining: number
  readonly expires_ms: number
}

/**
 * Tells of each lot that will expire within three days and still holds something, once: also when
 * it runs twice, and after the event itself is no longer kept. Gives how many it told of. It ends
 * after its page when `signal` is aborted.
 */
export const createExpiring =
  ({ db, now, page = PAGE }: ExpiringDeps) =>
  async (signal?: AbortSignal): Promise<number> => {
    const nowMs = Math.floor(now())
    let last: Lot | null = null
    let count = 0
    for (let pages = 0; pages < MAX_PAGES && !signal?.aborted; pages += 1) {
      const lots: readonly Lot[] = await lotsAfter(db, last, nowMs, page)
      count += await inTransaction(db, (tx) => tell(tx, lots, nowMs), {
        deadlineMs: DEADLINE_MS,
        isRepeatable: true,
      })
      last = lots.at(-1) ?? null
      if (lots.length < page) break
    }
    await forget(db, nowMs, page)
    return count
  }

/** Along the index of what is due, in the order of their end. */
async function lotsAfter(
  { orm }: ExpiringDeps['db'],
  last: Lot | null,
  nowMs: number,
  page: number,
): Promise<readonly Lot[]> {
  const after =
    last === null
      ? sql`true`
      : sql`(g.expires_at, g.account_id, g.grant_seq) >
            (from_ms(${last.expires_ms}), ${last.account_id}, ${last.grant_seq})`
  const { rows } = await orm.execute<Lot>(sql`
    select g.account_id, g.grant_seq, g.remaining, to_ms(g.expires_at) as expires_ms
      from grants g
      join accounts a on a.id = g.account_id and a.status <> 'closed'
      left join expiry_notices n on n.account_id = g.account_id and n.grant_seq = g.grant_seq
     where g.live
       and g.expires_at > from_ms(${nowMs})
       and g.expires_at <= from_ms(${nowMs + AHEAD_MS})
       and g.expires_at - g.created_at > ${AHEAD_MS} * interval '1 ms'
       and not g.is_revoked
       and n.account_id is null
       and ${after}
     order by g.expires_at, g.account_id, g.grant_seq
     limit ${page}`)
  return rows
}

/** Those that nobody has told of yet, noted and told in one. */
async function tell(tx: Transaction, lots: readonly Lot[], nowMs: number): Promise<number> {
  if (lots.length === 0) return 0
  const { rows } = await tx.execute<{ account_id: string; grant_seq: number }>(sql`
    insert into expiry_notices (account_id, grant_seq, expires_at)
    select l.account_id, l.grant_seq, from_ms(l.expires_ms)
      from jsonb_to_recordset(${JSON.stringify(lots)}::jsonb)
           l (account_id text, grant_seq bigint, expires_ms bigint)
     order by l.account_id, l.grant_seq
        on conflict (account_id, grant_seq) do nothing
    returning account_id, grant_seq`)
  const isNew = new Set(rows.map(nameOf))
  const told = lots.filter((lot) => isNew.has(nameOf(lot)))
  await enqueueEvents(tx, told.map(eventOf(nowMs)))
  return told.length
}

const nameOf = ({ account_id, grant_seq }: Pick<Lot, 'account_id' | 'grant_seq'>): string =>
  `${grant_seq}:${account_id}`

const eventOf = (nowMs: number) => (lot: Lot) => ({
  accountId: lot.account_id,
  id: `expiring:${lot.grant_seq}`,
  type: 'grant.expiring' satisfies EventType,
  data: {
    accountId: lot.account_id,
    grantId: encodeId('gr', lot.account_id, lot.grant_seq),
    remaining: lot.remaining,
    expiresAt: isoOf(lot.expires_ms),
  },
  createdAtMs: nowMs,
})

/** A lot that has expired is not found again, and so needs no notice. */
async function forget({ orm }: ExpiringDeps['db'], nowMs: number, page: number): Promise<void> {
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const { rowCount } = await orm.execute(sql`
      delete from expiry_notices
       where (account_id, grant_seq) in (
         select account_id, grant_seq
           from expiry_notices
          where expires_at < from_ms(${nowMs - DAY_MS})
          limit ${page})`)
    if ((rowCount ?? 0) < page) return
  }
}
