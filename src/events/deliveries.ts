import { sql } from 'drizzle-orm'
import type { Database } from '../db/open.js'
import { inTransaction, type Transaction } from '../db/transaction.js'
import { noteEndpoints } from './endpoint-notes.js'
import type { EventRow, PlacedEvent } from './event.js'
import type { Attempt } from './post.js'

/** Longer than an attempt takes with its outcome: after it, another instance takes over. */
const LEASE_MS = 60_000
const DEADLINE_MS = 5_000

/** A delivery that is this instance's to make, with all it takes. */
export type Claimed = {
  readonly endpointId: string
  readonly url: string
  /** Which sign it; the second while a rotation is under way. */
  readonly secrets: readonly string[]
  /** How often it was tried before. */
  readonly attempts: number
  readonly event: PlacedEvent
}

/** What came of one; `retryAtMs` null: it is given up. */
export type Settled = Pick<Claimed, 'endpointId'> & {
  readonly position: number
  readonly attempt: Attempt
  readonly retryAtMs: number | null
}

/** An endpoint that was switched off, and why. */
export type SwitchedOff = { readonly endpointId: string; readonly reason: string }

export type Deliveries = {
  /**
   * Takes what is due, for each endpoint as many as it has room for, and nobody else gets them
   * before the lease is over. `busy`: how many of each endpoint are under way here.
   */
  claim(busy: ReadonlyMap<string, number>, nowMs: number): Promise<readonly Claimed[]>
  /** Notes what came of them; gives the endpoints that are switched off by it. */
  settle(settled: readonly Settled[], nowMs: number): Promise<readonly SwitchedOff[]>
}

export type DeliveriesDeps = {
  readonly db: Pick<Database, 'pool' | 'orm'>
  /** How many of one endpoint may be under way in one instance. */
  readonly perEndpoint: number
}

/** What is still to be sent, in the database: any instance sends what any other has left. */
export const createDeliveries = ({ db, perEndpoint }: DeliveriesDeps): Deliveries => ({
  async claim(busy, nowMs) {
    const { rows } = await db.orm.execute<ClaimedRow>(claiming(busy, perEndpoint, nowMs))
    return rows.map(claimedOf)
  },
  settle: (settled, nowMs) =>
    inTransaction(db, (tx) => settleWithin(tx, settled, nowMs), {
      deadlineMs: DEADLINE_MS,
      isRepeatable: true,
    }),
})

type ClaimedRow = EventRow & {
  readonly endpoint_id: string
  readonly url: string
  readonly secret: string
  readonly old_secret: string | null
  readonly attempts: number
}

const claimedOf = (row: ClaimedRow): Claimed => ({
  endpointId: row.endpoint_id,
  url: row.url,
  secrets: row.old_secret === null ? [row.secret] : [row.secret, row.old_secret],
  attempts: row.attempts,
  event: {
    accountId: row.account_id,
    eventId: row.id,
    position: row.position,
    accountSeq: row.account_seq,
    type: row.type,
    data: row.data,
    createdAtMs: row.created_ms,
  },
})

/** The oldest of each endpoint first, so that none of them waits behind another's. */
function claiming(busy: ReadonlyMap<string, number>, perEndpoint: number, nowMs: number) {
  const now = new Date(nowMs)
  const ids = sql.param([...busy.keys()])
  const counts = sql.param([...busy.values()])
  return sql`
    with due as (
      select d.endpoint_id, d.position
        from webhook_endpoints w
        left join unnest(${ids}::text[], ${counts}::int[]) b (id, count) on b.id = w.id
       cross join lateral (
         select o.endpoint_id, o.position
           from event_deliveries o
          where o.endpoint_id = w.id
            and o.status = 'pending'
            and o.next_attempt_at <= ${now}
          order by o.next_attempt_at, o.position
          limit greatest(0, ${perEndpoint} - coalesce(b.count, 0))
            for update skip locked) d
       where w.enabled
         and (w.paused_until is null or w.paused_until <= ${now})
    )
    update event_deliveries d
       set next_attempt_at = ${new Date(nowMs + LEASE_MS)}
      from due, webhook_endpoints w, events e
     where d.endpoint_id = due.endpoint_id
       and d.position = due.position
       and w.id = d.endpoint_id
       and e.account_id = d.account_id
       and e.id = d.event_id
    returning d.endpoint_id, w.url, w.secret,
              case when w.old_secret_ends_at > ${now} then w.old_secret end as old_secret,
              d.attempts, e.account_id, e.id, e.position, e.account_seq, e.type, e.data,
              to_ms(e.created_at) as created_ms`
}

async function settleWithin(
  tx: Transaction,
  settled: readonly Settled[],
  nowMs: number,
): Promise<readonly SwitchedOff[]> {
  const of = (kind: Attempt['kind']) => settled.filter(({ attempt }) => attempt.kind === kind)
  await remove(tx, of('delivered'))
  await release(tx, of('stopped'), nowMs)
  await postpone(tx, of('failed'), nowMs)
  return noteEndpoints(tx, settled, nowMs)
}

async function remove(tx: Transaction, delivered: readonly Settled[]): Promise<void> {
  if (delivered.length === 0) return
  await tx.execute(sql`
    delete from event_deliveries d
     using ${keysOf(delivered)}
     where d.endpoint_id = k.endpoint_id and d.position = k.position`)
}

/** As if they had not been taken. */
async function release(tx: Transaction, stopped: readonly Settled[], nowMs: number) {
  if (stopped.length === 0) return
  await tx.execute(sql`
    update event_deliveries d
       set next_attempt_at = ${new Date(nowMs)}
      from ${keysOf(stopped)}
     where d.endpoint_id = k.endpoint_id and d.position = k.position`)
}

async function postpone(tx: Transaction, failed: readonly Settled[], nowMs: number) {
  if (failed.length === 0) return
  const rows = failed.map(({ endpointId, position, attempt, retryAtMs }) => ({
    endpoint_id: endpointId,
    position,
    status: attempt.kind === 'failed' ? attempt.status : null,
    error: attempt.kind === 'failed' ? attempt.error : null,
    retry_ms: retryAtMs,
  }))
  await tx.execute(sql`
    update event_deliveries d
       set attempts = d.attempts + 1,
           status = case when f.retry_ms is null then 'failed' else 'pending' end,
           next_attempt_at = coalesce(from_ms(f.retry_ms), d.next_attempt_at),
           last_attempt_at = ${new Date(nowMs)},
           last_status = f.status,
           last_error = f.error
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
           f (endpoint_id text, position bigint, status smallint, error text, retry_ms bigint)
     where d.endpoint_id = f.endpoint_id and d.position = f.position`)
}

function keysOf(settled: readonly Settled[]) {
  const ids = sql.param(settled.map(({ endpointId }) => endpointId))
  const positions = sql.param(settled.map(({ position }) => position))
  return sql`unnest(${ids}::text[], ${positions}::bigint[]) k (endpoint_id, position)`
}
