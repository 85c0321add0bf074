import { and, asc, eq, inArray, isNotNull, isNull, lt, lte, type SQL, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { ProviderName } from '../../payment-facts.js'
import type { ProviderEvent } from '../providers/provider.js'
import { webhookInbox as table } from './tables.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** As long as the providers themselves try: who lost it by then must look. */
export const RETRY_FOR_MS = 3 * DAY_MS
/** Longer than any provider sends an event again; what it did is kept for ever elsewhere. */
export const KEPT_MS = 90 * DAY_MS
/** Longer than the calls to a provider and the writes of one event may take. */
export const LEASE_MS = 3 * 60_000

const FIRST_PAUSE_MS = 2_000
const MAX_PAUSE_MS = HOUR_MS
/** Deleted at once, so that a clean-up never holds many rows for long. */
const PRUNE_BATCH = 1_000
const MAX_REASON_LENGTH = 1_000

/** The pause after an attempt: seconds at first, twice as long each time, an hour at most. */
export const pauseAfter = (attempts: number): number =>
  Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempts - 1, 30))

/** An event as it came. */
export type Arrival = {
  readonly provider: ProviderName
  readonly event: ProviderEvent
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
  /** Why it is nothing to us; null: somebody has to look at it. */
  readonly ignored: string | null
}

/** An event that one worker has to itself until its lease ends. */
export type Claimed = Omit<Arrival, 'headers' | 'event' | 'ignored'> & {
  readonly id: string
  readonly event: Omit<ProviderEvent, 'payload'>
  readonly attempts: number
  readonly retryUntilMs: number
}

export type DeadEvent = {
  readonly id: string
  readonly provider: ProviderName
  readonly eventId: string
  readonly type: string
  readonly objectId: string | null
  readonly attempts: number
  readonly receivedAt: string
  readonly deadAt: string
  readonly reason: string | null
}

/** The inbox as it is stored. Times are ms since the epoch. */
export type InboxStore = {
  /** False: it is here already. */
  add(arrival: Arrival): Promise<boolean>
  /**
   * The event of a provider that is due longest; null: none is. Nobody else is given it during its
   * lease.
   */
  claim(provider: ProviderName): Promise<Claimed | null>
  finish(id: string, outcome: 'applied' | 'ignored', reason: string | null): Promise<void>
  /** Unless its lease has ended and somebody else has it. */
  retry(claimed: Claimed, reason: string): Promise<void>
  /** The same; nobody tries it again, until somebody asks for that. */
  bury(claimed: Claimed, reason: string): Promise<void>
  /** Those that are dead, oldest first. */
  dead(limit: number): Promise<readonly DeadEvent[]>
  /** Tries a dead event again, or all of them; gives how many. Safe to repeat. */
  replay(id: string | null): Promise<number>
  has(id: string): Promise<boolean>
  /** Deletes what was processed long ago; gives the count. */
  prune(signal?: AbortSignal): Promise<number>
  /** How many wait, how many are dead, and the age in ms of the oldest that waits. */
  figures(): Promise<{ waiting: number; dead: number; oldestMs: number }>
}

export type InboxStoreDeps = {
  readonly orm: NodePgDatabase
  /** Ms since the epoch. */
  readonly now: () => number
  readonly newId: () => string
}

const isOpen = and(isNull(table.processedAt), isNull(table.deadAt))

export function createInboxStore({ orm, now, newId }: InboxStoreDeps): InboxStore {
  const at = (ms = 0) => new Date(now() + ms)

  /** Sets them for the event, as long as it is still the claimer's. */
  const release = async ({ id, attempts }: Claimed, values: object, reason: string) => {
    await orm
      .update(table)
      .set({ ...values, lastError: reason.slice(0, MAX_REASON_LENGTH) })
      .where(and(eq(table.id, id), eq(table.attempts, attempts), isOpen))
  }

  return {
    add: (arrival) => insert(orm, newId(), arrival, now()),

    claim: (provider) => claim(orm, provider, { now: at(), leaseEnd: at(LEASE_MS) }),

    async finish(id, outcome, reason) {
      const lastError = reason?.slice(0, MAX_REASON_LENGTH) ?? null
      await orm
        .update(table)
        .set({ processedAt: at(), deadAt: null, outcome, lastError })
        .where(and(eq(table.id, id), isNull(table.processedAt)))
    },

    retry: (claimed, reason) =>
      release(claimed, { nextAttemptAt: at(pauseAfter(claimed.attempts)) }, reason),

    bury: (claimed, reason) => release(claimed, { deadAt: at() }, reason),

    dead: (limit) => readDead(orm, limit),

    async replay(id) {
      const which: SQL | undefined = id === null ? undefined : eq(table.id, id)
      const { rowCount } = await orm
        .update(table)
        .set({ deadAt: null, attempts: 0, nextAttemptAt: at(), retryUntil: at(RETRY_FOR_MS) })
        .where(and(isNotNull(table.deadAt), which))
      return rowCount ?? 0
    },

    async has(id) {
      const rows = await orm.select({ id: table.id }).from(table).where(eq(table.id, id))
      return rows.length > 0
    },

    prune: (signal) => prune(orm, at(-KEPT_MS), signal),

    figures: () => readFigures(orm, now()),
  }
}

async function insert(
  orm: NodePgDatabase,
  id: string,
  { provider, event, body, headers, ignored }: Arrival,
  nowMs: number,
): Promise<boolean> {
  const at = new Date(nowMs)
  const { rowCount } = await orm
    .insert(table)
    .values({
      id,
      provider,
      externalEventId: event.id,
      type: event.type,
      objectId: event.objectId,
      isLive: event.isLive,
      providerCreatedAt: new Date(event.createdAtMs),
      raw: body,
      headers,
      receivedAt: at,
      nextAttemptAt: at,
      retryUntil: new Date(nowMs + RETRY_FOR_MS),
      ...(ignored !== null && { processedAt: at, outcome: 'ignored' as const, lastError: ignored }),
    })
    .onConflictDoNothing({ target: [table.provider, table.externalEventId] })
  return rowCount === 1
}

async function claim(
  orm: NodePgDatabase,
  provider: ProviderName,
  { now, leaseEnd }: { readonly now: Date; readonly leaseEnd: Date },
): Promise<Claimed | null> {
  const due = orm
    .select({ id: table.id })
    .from(table)
    .where(and(isOpen, eq(table.provider, provider), lte(table.nextAttemptAt, now)))
    .orderBy(asc(table.nextAttemptAt))
    .limit(1)
    .for('update', { skipLocked: true })
  const [row] = await orm
    .update(table)
    .set({ attempts: sql`${table.attempts} + 1`, nextAttemptAt: leaseEnd })
    // one value, not a set: a set may be looked at more than once, and each look takes another row
    .where(sql`${table.id} = (${due})`)
    .returning()
  if (!row) return null
  const { id, raw: body, attempts, type, objectId, isLive } = row
  const createdAtMs = row.providerCreatedAt.getTime()
  const event = { id: row.externalEventId, type, objectId, isLive, createdAtMs }
  return { id, provider, body, attempts, event, retryUntilMs: row.retryUntil.getTime() }
}

async function readDead(orm: NodePgDatabase, limit: number): Promise<readonly DeadEvent[]> {
  const rows = await orm
    .select()
    .from(table)
    .where(isNotNull(table.deadAt))
    .orderBy(asc(table.deadAt), asc(table.id))
    .limit(limit)
  return rows.map((row) => ({
    id: row.id,
    provider: row.provider,
    eventId: row.externalEventId,
    type: row.type,
    objectId: row.objectId,
    attempts: row.attempts,
    receivedAt: row.receivedAt.toISOString(),
    deadAt: row.deadAt?.toISOString() ?? '',
    reason: row.lastError,
  }))
}

async function prune(orm: NodePgDatabase, before: Date, signal?: AbortSignal): Promise<number> {
  let pruned = 0
  while (!signal?.aborted) {
    const old = orm
      .select({ id: table.id })
      .from(table)
      .where(lt(table.processedAt, before))
      .limit(PRUNE_BATCH)
    const { rowCount } = await orm.delete(table).where(inArray(table.id, old))
    pruned += rowCount ?? 0
    if ((rowCount ?? 0) < PRUNE_BATCH) break
  }
  return pruned
}

async function readFigures(orm: NodePgDatabase, nowMs: number) {
  const [waiting] = await orm
    .select({
      count: sql<number>`count(*)`.mapWith(Number),
      oldest: sql<Date | null>`min(${table.receivedAt})`.mapWith(table.receivedAt),
    })
    .from(table)
    .where(isOpen)
  const [dead] = await orm
    .select({ count: sql<number>`count(*)`.mapWith(Number) })
    .from(table)
    .where(isNotNull(table.deadAt))
  const oldestMs = waiting?.oldest ? Math.max(0, nowMs - waiting.oldest.getTime()) : 0
  return { waiting: waiting?.count ?? 0, dead: dead?.count ?? 0, oldestMs }
}
