import { sql } from 'drizzle-orm'
import type { Database } from '../db/open.js'
import { AppError } from '../errors.js'
import { isoOf } from '../http/schema.js'
import { type EventRow, publicIdOf } from './event.js'
import type { FeedQuery, FeedView } from './schema.js'

/** Of a filtered feed: one call looks through no more, and the caller goes on from there. */
const MAX_SCANNED = 10_000

export type FeedDeps = {
  /** Reads alone, and so the same statement for all of it: one snapshot. */
  readonly db: Pick<Database, 'readOrm'>
  readonly maxScanned?: number
}

export type Feed = {
  /**
   * Events after a position, in order; without one, from the oldest that is kept. None is ever
   * placed before one that was already given. Throws `events_pruned` when some that should follow
   * are no longer kept.
   */
  list(query: FeedQuery): Promise<FeedView>
}

/** What has happened, in the order in which the relay placed it. */
export const createFeed = ({ db, maxScanned = MAX_SCANNED }: FeedDeps): Feed => ({
  async list(query) {
    const { after, limit } = query
    const { rows } = await db.readOrm.execute<FeedRow>(statement(query, maxScanned))
    const [first] = rows
    if (!first) throw new Error('the row of the relay is not there')
    if (after !== undefined && after < first.pruned) throw pruned(after, first.pruned)
    const found = rows.flatMap(({ event }) => (event === null ? [] : [event]))
    const events = found.slice(0, limit)
    const last = events.at(-1)
    const hasMoreFound = found.length > limit && last !== undefined
    const end = hasMoreFound ? last.position : first.scanned
    return {
      events: events.map(viewOf),
      nextCursor: String(end),
      hasMore: hasMoreFound || end < first.last,
    }
  },
})

type FeedRow = {
  readonly pruned: number
  readonly last: number
  /** The last position that was looked at. */
  readonly scanned: number
  readonly event: EventRow | null
}

/**
 * One statement, so that nothing can be pruned between the look at what is kept and the page. The
 * place of each event stays as it is, so that what lies up to `last` is all that there will be.
 */
function statement({ after, limit, accountId, type }: FeedQuery, maxScanned: number) {
  const start = after === undefined ? sql`r.pruned_position` : sql`${after}::bigint`
  const ofAccount = accountId === undefined ? sql`true` : sql`e.account_id = ${accountId}`
  const ofType = type === undefined ? sql`true` : sql`e.type = ${type}`
  const within = sql`e.position > ${start} and e.position <= r.last_position and ${ofAccount}`
  const scanned =
    type === undefined
      ? sql`r.last_position`
      : sql`coalesce((
          select s.position
            from (select e.position from events e
                   where ${within}
                   order by e.position
                   limit ${maxScanned}) s
           order by s.position
          offset ${maxScanned - 1}), r.last_position)`
  return sql`
    select r.pruned_position as pruned, r.last_position as last, b.scanned, p.event
      from event_relay r
     cross join lateral (select ${scanned} as scanned) b
      left join lateral (
        select e.position, json_build_object(
                 'account_id', e.account_id, 'id', e.id, 'position', e.position,
                 'account_seq', e.account_seq, 'type', e.type, 'data', e.data,
                 'created_ms', to_ms(e.created_at)) as event
          from events e
         where ${within} and ${ofType} and e.position <= b.scanned
         order by e.position
         limit ${limit + 1}) p on true
     where r.id = 1
     order by p.position`
}

const viewOf = (event: EventRow): FeedView['events'][number] => ({
  id: publicIdOf(event.account_id, event.id),
  position: event.position,
  accountId: event.account_id,
  accountSeq: event.account_seq,
  type: event.type,
  data: event.data,
  createdAt: isoOf(event.created_ms),
})

const pruned = (after: number, prunedThrough: number): AppError =>
  new AppError(
    'events_pruned',
    `Events up to position ${prunedThrough} are no longer kept; those after ${after} are asked for`,
    { after, prunedThrough },
  )
