import { sql } from 'drizzle-orm'
import type { Database } from '../db/open.js'
import { inTransaction, type Transaction } from '../db/transaction.js'

const DAY_MS = 24 * 3_600_000
/** Deleted at once, so that it never holds many rows for long. */
const BATCH = 2_000
/** One run takes on at most ten million; the next comes in an hour. */
const MAX_BATCHES = 5_000
const DEADLINE_MS = 5_000
/** By then no relay that saw the endpoint while it was there still writes a delivery to it. */
const FORGET_AFTER_MS = 60_000

export type EventRetentionDeps = {
  readonly db: Pick<Database, 'pool' | 'orm'>
  /** Ms since the epoch. */
  readonly now: () => number
  readonly keptDays: number
  /** Deleted at once. */
  readonly batch?: number
}

/**
 * Deletes events that are older than they are kept, from the oldest on and up to the first that
 * must stay: one that is young, or one that is still to be sent to an endpoint that is on. So the
 * feed has no gaps behind where it begins. Deleted endpoints go with what was left to be sent to
 * them. Gives how many events it deleted. Safe to repeat, and at the same time as anything else.
 */
export const createEventRetention =
  ({ db, now, keptDays, batch = BATCH }: EventRetentionDeps) =>
  async (signal?: AbortSignal): Promise<number> => {
    const options = { deadlineMs: DEADLINE_MS, isRepeatable: true }
    let count = 0
    for (let batches = 0; batches < MAX_BATCHES && !signal?.aborted; batches += 1) {
      const youngestMs = now() - keptDays * DAY_MS
      const gone = await inTransaction(db, (tx) => prune(tx, youngestMs, batch), options)
      count += gone
      if (gone < batch) break
    }
    for (let batches = 0; batches < MAX_BATCHES && !signal?.aborted; batches += 1) {
      if ((await forgetDeleted(db, batch)) < batch) break
    }
    await forgetEndpoints(db, now() - FORGET_AFTER_MS)
    return count
  }

async function prune(tx: Transaction, beforeMs: number, batch: number): Promise<number> {
  // a statement of its own: what the relay places while we wait for it must be seen below
  await tx.execute(sql`select id from event_relay where id = 1 for update`)
  const { rows } = await tx.execute<{ end: number; start: number }>(sql`
    select r.pruned_position as start, least(
             r.last_position,
             r.pruned_position + ${batch}::bigint,
             (select min(d.position) - 1
                from webhook_endpoints w
               cross join lateral (
                 select min(o.position) as position
                   from event_deliveries o
                  where o.endpoint_id = w.id and o.status = 'pending') d
               where w.enabled)) as end
      from event_relay r
     where r.id = 1`)
  const [bounds] = rows
  if (!bounds || bounds.end <= bounds.start) return 0
  const end = await lastOld(tx, bounds, beforeMs)
  if (end <= bounds.start) return 0
  await tx.execute(sql`
    delete from event_deliveries d
     using webhook_endpoints w
     where d.endpoint_id = w.id and d.position <= ${end}`)
  const gone = await tx.execute(sql`
    delete from events where position > ${bounds.start} and position <= ${end}`)
  await tx.execute(sql`update event_relay set pruned_position = ${end} where id = 1`)
  return gone.rowCount ?? 0
}

/** The last position before the first event that is young. */
async function lastOld(
  tx: Transaction,
  { start, end }: { readonly start: number; readonly end: number },
  beforeMs: number,
): Promise<number> {
  const { rows } = await tx.execute<{ position: number | null }>(sql`
    select min(position) as position
      from events
     where position > ${start}
       and position <= ${end}
       and created_at >= ${new Date(beforeMs)}`)
  const young = rows[0]?.position ?? null
  return young === null ? end : young - 1
}

async function forgetDeleted({ orm }: EventRetentionDeps['db'], batch: number): Promise<number> {
  const { rowCount } = await orm.execute(sql`
    delete from event_deliveries
     where (endpoint_id, position) in (
       select d.endpoint_id, d.position
         from webhook_endpoints w
         join event_deliveries d on d.endpoint_id = w.id
        where w.deleted_at is not null
        limit ${batch})`)
  return rowCount ?? 0
}

async function forgetEndpoints({ orm }: EventRetentionDeps['db'], beforeMs: number) {
  await orm.execute(sql`
    delete from webhook_endpoints w
     where w.deleted_at < ${new Date(beforeMs)}
       and not exists (select from event_deliveries d where d.endpoint_id = w.id)`)
}
