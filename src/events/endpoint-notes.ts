import { sql } from 'drizzle-orm'
import type { Transaction } from '../db/transaction.js'
import type { Settled, SwitchedOff } from './deliveries.js'
import { endpointPause } from './pauses.js'

const DAY_MS = 24 * 3_600_000
/** Who fails for so long is not coming back by itself. */
const FAILING_MS = 5 * DAY_MS
/** Longer than any pause: what failed before it says nothing about now. */
const QUIET_MS = 2 * DAY_MS
/** A row is not written for every event that is taken. */
const NOTE_EVERY_MS = 1_000
const GONE = 410

type Failure = Extract<Settled['attempt'], { kind: 'failed' }>

/**
 * Notes on each endpoint what came of its deliveries, and switches off those that are gone or have
 * only failed for days. Gives these.
 */
export async function noteEndpoints(
  tx: Transaction,
  settled: readonly Settled[],
  nowMs: number,
): Promise<readonly SwitchedOff[]> {
  const off: SwitchedOff[] = []
  // in one order everywhere, so that two instances do not wait for one another
  const ids = [...new Set(settled.map(({ endpointId }) => endpointId))].sort()
  for (const id of ids) {
    const attempts = settled.filter(({ endpointId }) => endpointId === id)
    const failures = attempts.flatMap(({ attempt }) => (attempt.kind === 'failed' ? [attempt] : []))
    const hasDelivered = attempts.some(({ attempt }) => attempt.kind === 'delivered')
    if (hasDelivered) await noteDelivered(tx, id, nowMs)
    const last = failures.at(-1)
    if (last === undefined) continue
    await noteFailure(tx, id, last, hasDelivered, nowMs)
    const pauses = failures.map(({ retryAfterMs }) => retryAfterMs ?? 0)
    const pauseMs = endpointPause(Math.max(0, ...pauses))
    if (pauseMs > 0) await pause(tx, id, nowMs + pauseMs)
    const isGone = failures.some(({ status }) => status === GONE)
    const reason = await switchOff(tx, id, isGone, nowMs)
    if (reason !== null) off.push({ endpointId: id, reason })
  }
  return off
}

async function noteDelivered(tx: Transaction, id: string, nowMs: number): Promise<void> {
  const now = new Date(nowMs)
  await tx.execute(sql`
    update webhook_endpoints
       set last_delivered_at = ${now}, failing_since = null
     where id = ${id}
       and (failing_since is not null
            or last_delivered_at is null
            or last_delivered_at < ${new Date(nowMs - NOTE_EVERY_MS)})`)
}

async function noteFailure(
  tx: Transaction,
  id: string,
  { status, error }: Failure,
  hasDelivered: boolean,
  nowMs: number,
): Promise<void> {
  const [now, quiet] = [new Date(nowMs), new Date(nowMs - QUIET_MS)]
  const since = hasDelivered
    ? sql`null`
    : sql`case when last_failed_at > ${quiet} then coalesce(failing_since, ${now})
               else ${now}::timestamptz end`
  await tx.execute(sql`
    update webhook_endpoints
       set failing_since = ${since},
           last_failed_at = ${now},
           last_status = ${status},
           last_error = ${error}
     where id = ${id}`)
}

async function pause(tx: Transaction, id: string, untilMs: number): Promise<void> {
  const until = new Date(untilMs)
  await tx.execute(sql`
    update webhook_endpoints
       set paused_until = greatest(paused_until, ${until})
     where id = ${id}`)
}

/** The reason, when it was this that switched it off. */
async function switchOff(
  tx: Transaction,
  id: string,
  isGone: boolean,
  nowMs: number,
): Promise<string | null> {
  const reason = isGone ? 'it answered 410' : 'it has only failed for 5 days'
  const failingSince = new Date(nowMs - FAILING_MS)
  const { rowCount } = await tx.execute(sql`
    update webhook_endpoints
       set enabled = false,
           disabled_at = ${new Date(nowMs)},
           disabled_reason = ${reason}
     where id = ${id}
       and enabled
       and (${isGone} or failing_since <= ${failingSince})`)
  return rowCount === 1 ? reason : null
}
