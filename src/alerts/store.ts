import { asc, gt, inArray, lt, max, min, sql } from 'drizzle-orm'
import type { Database } from '../db/open.js'
import { inTransaction, type Transaction } from '../db/transaction.js'
import { enqueue } from './deliveries.js'
import { type Notice, noticeOf } from './notice.js'
import { type Rule, worstOf } from './rules.js'
import { type AlertState, advance, QUIET } from './state.js'
import { alertReadings, alerts } from './tables.js'

/** Long enough for an instance that is late, short enough to forget one that is gone. */
const FRESH_MS = 60_000
/** What instances that are gone have read is deleted after this. */
const KEPT_MS = 10 * 60_000
/** Less than the interval at which the alerts are looked at. */
const DEADLINE_MS = 5_000

export type AlertStoreDeps = {
  readonly db: Pick<Database, 'pool' | 'orm'>
  readonly instanceId: string
  readonly newId: () => string
  /** Whether what changes is kept until it has been sent. */
  readonly isDelivered: boolean
}

/** The worst value this instance has for each rule, by its name; null: not to be read just now. */
export type Readings = ReadonlyMap<string, number | null>

export type AlertStore = {
  /**
   * Notes what this instance reads, works out the alerts from what all instances have read of
   * late, and gives their states and what has changed. Each change is told by one instance only.
   * Throws when the database can not be reached.
   */
  evaluate(
    rules: readonly Rule[],
    readings: Readings,
    nowMs: number,
  ): Promise<{ states: ReadonlyMap<string, AlertState>; notices: readonly Notice[] }>
}

/** The state of the alerts that all instances have in common. */
export const createAlertStore = (deps: AlertStoreDeps): AlertStore => ({
  async evaluate(rules, readings, nowMs) {
    const act = async (tx: Transaction) => {
      const before = await lockStates(tx, rules)
      await saveReadings(tx, deps.instanceId, readings, nowMs)
      const worst = await worstReadings(tx, rules, nowMs)
      const steps = rules.map((rule) => {
        const value = worst.get(rule.name) ?? null
        return { rule, ...advance(rule, before.get(rule.name) ?? QUIET, value, nowMs) }
      })
      await saveStates(tx, steps)
      const notices = steps.flatMap(({ rule, state, change }) =>
        change === null
          ? []
          : [noticeOf(rule, state, { ...deps, id: deps.newId(), status: change })],
      )
      if (deps.isDelivered) await enqueue(tx, notices, nowMs)
      return { states: new Map(steps.map(({ rule, state }) => [rule.name, state])), notices }
    }
    // done twice it finds the change already made, and so tells it once
    return inTransaction(deps.db, act, { deadlineMs: DEADLINE_MS, isRepeatable: true })
  },
})

/** One instance at a time from here on, until it commits. */
const lockStates = async (tx: Transaction, rules: readonly Rule[]) => {
  const names = rules.map(({ name }) => name)
  const quiet = names.map((name) => ({ name, status: QUIET.status }))
  await tx.insert(alerts).values(quiet).onConflictDoNothing()
  return statesOf(
    await tx
      .select()
      .from(alerts)
      .where(inArray(alerts.name, names))
      .orderBy(asc(alerts.name))
      .for('update'),
  )
}

const statesOf = (rows: readonly (typeof alerts.$inferSelect)[]): Map<string, AlertState> =>
  new Map(
    rows.map(({ name, status, since, clearSince, evaluatedAt, value }) => {
      const times = { sinceMs: msOf(since), clearSinceMs: msOf(clearSince) }
      return [name, { status, ...times, value, evaluatedAtMs: msOf(evaluatedAt) }]
    }),
  )

const saveReadings = async (
  tx: Transaction,
  instanceId: string,
  readings: Readings,
  nowMs: number,
): Promise<void> => {
  const readAt = new Date(nowMs)
  const rows = [...readings].flatMap(([name, value]) =>
    value === null ? [] : [{ instanceId, name, value, readAt }],
  )
  if (rows.length > 0) {
    const { instanceId: instance, name } = alertReadings
    const set = { value: sql`excluded.value`, readAt }
    await tx
      .insert(alertReadings)
      .values(rows)
      .onConflictDoUpdate({ target: [instance, name], set })
  }
  await tx.delete(alertReadings).where(lt(alertReadings.readAt, new Date(nowMs - KEPT_MS)))
}

const worstReadings = async (tx: Transaction, rules: readonly Rule[], nowMs: number) => {
  const { name, value, readAt } = alertReadings
  const rows = await tx
    .select({ name, least: min(value), most: max(value) })
    .from(alertReadings)
    .where(gt(readAt, new Date(nowMs - FRESH_MS)))
    .groupBy(name)
  const known = new Map(rows.map(({ name, least, most }) => [name, [least, most]]))
  return new Map(
    rules.map((rule) => {
      const values = (known.get(rule.name) ?? []).filter((one) => one !== null)
      return [rule.name, worstOf(rule, values)]
    }),
  )
}

const saveStates = async (
  tx: Transaction,
  steps: readonly { readonly rule: Rule; readonly state: AlertState }[],
): Promise<void> => {
  const rows = steps.map(({ rule: { name, threshold }, state }) => ({
    name,
    threshold,
    status: state.status,
    since: dateOf(state.sinceMs),
    clearSince: dateOf(state.clearSinceMs),
    evaluatedAt: dateOf(state.evaluatedAtMs),
    value: state.value,
  }))
  const set = {
    status: sql`excluded.status`,
    since: sql`excluded.since`,
    clearSince: sql`excluded.clear_since`,
    evaluatedAt: sql`excluded.evaluated_at`,
    value: sql`excluded.value`,
    threshold: sql`excluded.threshold`,
  }
  await tx.insert(alerts).values(rows).onConflictDoUpdate({ target: alerts.name, set })
}

const dateOf = (ms: number | null): Date | null => (ms === null ? null : new Date(ms))
const msOf = (date: Date | null): number | null => date?.getTime() ?? null

/** What the instances have worked out last, for whoever only looks. */
export const readStates = async (
  db: Pick<Database, 'readOrm'>,
): Promise<ReadonlyMap<string, AlertState>> => statesOf(await db.readOrm.select().from(alerts))
