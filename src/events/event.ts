import { digestOf } from '../ledger/ids.js'
import type { JsonObject } from '../ledger/model.js'

/** An event as the database has it, once it has its place. */
export type PlacedEvent = {
  readonly accountId: string
  /** Unique within the account. */
  readonly eventId: string
  readonly position: number
  readonly accountSeq: number
  readonly type: string
  readonly data: JsonObject
  readonly createdAtMs: number
}

/** The same as SQL gives it. */
export type EventRow = {
  readonly account_id: string
  readonly id: string
  readonly position: number
  readonly account_seq: number
  readonly type: string
  readonly data: JsonObject
  readonly created_ms: number
}

/** The event's id for everybody: the same in the feed and in every delivery. */
export const publicIdOf = (accountId: string, eventId: string): string =>
  `evt_${digestOf('event', accountId, eventId).replaceAll('-', '')}`

/**
 * What the receiver of a webhook is sent, the same bytes however often: `type`, `timestamp` and
 * `data` are Standard Webhooks', the others stand beside them.
 */
export const bodyOf = (event: PlacedEvent): string =>
  JSON.stringify({
    id: publicIdOf(event.accountId, event.eventId),
    type: event.type,
    timestamp: new Date(event.createdAtMs).toISOString(),
    accountId: event.accountId,
    accountSeq: event.accountSeq,
    position: event.position,
    data: event.data,
  })
