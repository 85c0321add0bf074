import { asc, desc, eq, inArray, lt, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Transaction } from '../db/transaction.js'
import type { Notice } from './notice.js'
import { alertDeliveries } from './tables.js'

/** What was not delivered by then is no news any more. */
const GIVE_UP_MS = 24 * 3_600_000
/** More changes than this are never waiting, unless the receiver is away for good. */
const MAX_WAITING = 1_000
/** What one run sends at most; the next run comes soon. */
const BATCH = 20

const FIRST_PAUSE_MS = 10_000
const MAX_PAUSE_MS = 10 * 60_000

/** The pause after an attempt, twice as long each time; longer than an attempt may take. */
export const pauseAfter = (attempts: number): number =>
  Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempts - 1, 30))

export type Delivery = { readonly notice: Notice; readonly attempts: number }

/** What is still to be sent. A delivery that was taken and not done comes again after a pause. */
export type Deliveries = {
  /** What is due, oldest first, one for each alert, so that its changes are told in order. */
  take(nowMs: number): Promise<readonly Delivery[]>
  done(notice: Notice): Promise<void>
  /** Deletes what is too old or too much; gives the count. */
  prune(nowMs: number): Promise<number>
}

/** In the transaction of the change itself: neither is there without the other. */
export const enqueue = async (
  tx: Transaction,
  notices: readonly Notice[],
  nowMs: number,
): Promise<void> => {
  if (notices.length === 0) return
  const at = new Date(nowMs)
  const rows = notices.map((notice) => ({
    id: notice.id,
    name: notice.name,
    notice,
    createdAt: at,
    nextAttemptAt: at,
  }))
  await tx.insert(alertDeliveries).values(rows).onConflictDoNothing()
}

/** Kept in the database: any instance sends what any other has left. */
export const createDeliveries = (orm: NodePgDatabase): Deliveries => ({
  async take(nowMs) {
    const now = new Date(nowMs)
    const { id, notice, attempts } = alertDeliveries
    const due = sql`(
      select d.id from alert_deliveries d
       where d.next_attempt_at <= ${now}
         and not exists (
           select from alert_deliveries o where o.name = d.name and o.created_at < d.created_at)
       order by d.created_at, d.id
       limit ${BATCH}
         for update skip locked)`
    const taken = await orm
      .update(alertDeliveries)
      .set({
        attempts: sql`${attempts} + 1`,
        nextAttemptAt: sql`${now}::timestamptz + interval '1 ms' * least(
          ${MAX_PAUSE_MS}::float8, ${FIRST_PAUSE_MS} * power(2::float8, least(${attempts}, 30)))`,
      })
      .where(sql`${id} in ${due}`)
      .returning({ notice, attempts })
    return taken.sort((a, b) => (a.notice.at < b.notice.at ? -1 : 1))
  },
  async done({ id }) {
    await orm.delete(alertDeliveries).where(eq(alertDeliveries.id, id))
  },
  async prune(nowMs) {
    const { id, createdAt } = alertDeliveries
    const old = await orm.delete(alertDeliveries).where(lt(createdAt, new Date(nowMs - GIVE_UP_MS)))
    const tooMany = orm
      .select({ id })
      .from(alertDeliveries)
      .orderBy(desc(createdAt), asc(id))
      .offset(MAX_WAITING)
    const more = await orm.delete(alertDeliveries).where(inArray(id, tooMany))
    return (old.rowCount ?? 0) + (more.rowCount ?? 0)
  },
})

type Waiting = { notice: Notice; attempts: number; nextAttemptMs: number; readonly sinceMs: number }

export type LocalDeliveries = Deliveries & {
  add(notices: readonly Notice[], nowMs: number): void
}

/** Kept in this process: for what is to be told while the database is away. */
export const createLocalDeliveries = (): LocalDeliveries => {
  let waiting: Waiting[] = []
  return {
    add(notices, nowMs) {
      const added = notices.map((notice) => ({
        notice,
        attempts: 0,
        nextAttemptMs: nowMs,
        sinceMs: nowMs,
      }))
      waiting.push(...added)
    },
    async take(nowMs) {
      const names = new Set<string>()
      const due = waiting.filter(({ notice, nextAttemptMs }) => {
        const isOldest = !names.has(notice.name)
        names.add(notice.name)
        return isOldest && nextAttemptMs <= nowMs
      })
      const taken = due.slice(0, BATCH)
      for (const one of taken) {
        one.attempts += 1
        one.nextAttemptMs = nowMs + pauseAfter(one.attempts)
      }
      return taken.map(({ notice, attempts }) => ({ notice, attempts }))
    },
    async done({ id }) {
      waiting = waiting.filter(({ notice }) => notice.id !== id)
    },
    async prune(nowMs) {
      const before = waiting.length
      waiting = waiting.filter(({ sinceMs }) => sinceMs >= nowMs - GIVE_UP_MS).slice(-MAX_WAITING)
      return before - waiting.length
    },
  }
}
