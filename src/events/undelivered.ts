import { and, desc, eq, isNull, lt, sql } from 'drizzle-orm'
import type { Database } from '../db/open.js'
import { AppError } from '../errors.js'
import { decodeCursor, isSeq, type Page, pageOf } from '../http/page.js'
import { isoOf } from '../http/schema.js'
import { publicIdOf } from './event.js'
import type { DeliveryQuery, DeliveryView } from './schema.js'
import { eventDeliveries as table, webhookEndpoints } from './tables.js'

/** Counted no further: what is beyond is too much anyway. */
const MAX_COUNTED = 1_000

export type Undelivered = {
  /**
   * What an endpoint has not taken, newest first: what waits, and what was given up. Throws
   * `webhook_endpoint_not_found`.
   */
  list(endpointId: string, query: DeliveryQuery): Promise<Page<DeliveryView>>
  /** How many wait for endpoints that are on, 1,000 each at most. */
  count(): Promise<number>
  /** How long the oldest of these waits, in ms; 0: none does. */
  oldestMs(): Promise<number>
  /** How long the oldest event waits for its place in the feed, in ms; 0: none does. */
  unplacedMs(): Promise<number>
}

export type UndeliveredDeps = {
  readonly db: Pick<Database, 'orm' | 'readOrm'>
  /** Ms since the epoch. */
  readonly now: () => number
}

/** What is still to be told to somebody. */
export function createUndelivered({ db, now }: UndeliveredDeps): Undelivered {
  const ageOf = (createdMs: number | null | undefined): number =>
    createdMs === null || createdMs === undefined ? 0 : Math.max(0, now() - createdMs)

  return {
    async list(endpointId, { cursor, limit, status }) {
      const before = decodeCursor(cursor, isSeq)
      const isThere = and(eq(webhookEndpoints.id, endpointId), isNull(webhookEndpoints.deletedAt))
      const found = await db.readOrm
        .select({ id: webhookEndpoints.id })
        .from(webhookEndpoints)
        .where(isThere)
      if (found.length === 0) {
        throw new AppError('webhook_endpoint_not_found', 'There is no such webhook endpoint')
      }
      const rows = await db.readOrm
        .select()
        .from(table)
        .where(
          and(
            eq(table.endpointId, endpointId),
            status === undefined ? undefined : eq(table.status, status),
            before === null ? undefined : lt(table.position, before),
          ),
        )
        .orderBy(desc(table.position))
        .limit(limit + 1)
      const { items, nextCursor } = pageOf(rows, limit, ({ position }) => position)
      return { items: items.map(viewOf), nextCursor }
    },

    async count() {
      const { rows } = await db.readOrm.execute<{ count: number }>(sql`
        select coalesce(sum(p.count), 0)::bigint as count
          from webhook_endpoints w
         cross join lateral (
           select count(*) as count
             from (select from event_deliveries
                    where endpoint_id = w.id and status = 'pending'
                    order by next_attempt_at, position
                    limit ${MAX_COUNTED}) d) p
         where w.enabled`)
      return rows[0]?.count ?? 0
    },

    async oldestMs() {
      const { rows } = await db.readOrm.execute<{ created_ms: number | null }>(sql`
        select to_ms(min(p.created_at)) as created_ms
          from webhook_endpoints w
         cross join lateral (
           select d.created_at
             from event_deliveries d
            where d.endpoint_id = w.id and d.status = 'pending'
            order by d.position
            limit 1) p
         where w.enabled`)
      return ageOf(rows[0]?.created_ms)
    },

    async unplacedMs() {
      const { rows } = await db.readOrm.execute<{ created_ms: number | null }>(
        sql`select to_ms(min(created_at)) as created_ms from events where position is null`,
      )
      return ageOf(rows[0]?.created_ms)
    },
  }
}

type DeliveryRow = typeof table.$inferSelect

const viewOf = (row: DeliveryRow): DeliveryView => ({
  eventId: publicIdOf(row.accountId, row.eventId),
  position: row.position,
  accountId: row.accountId,
  type: row.type,
  status: row.status,
  attempts: row.attempts,
  nextAttemptAt: row.status === 'failed' ? null : isoOf(row.nextAttemptAt.getTime()),
  lastAttemptAt: isoOf(row.lastAttemptAt?.getTime() ?? null),
  lastStatus: row.lastStatus,
  lastError: row.lastError,
  createdAt: isoOf(row.createdAt.getTime()),
})
