import { and, asc, eq, isNull, lte, or } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { guestAccounts as table } from './tables.js'

export type Guest = {
  readonly accountId: string
  /** The account that its credits go to; null: it is still a guest's. */
  readonly convertedTo: string | null
}

/** The accounts of guests that are still open, and when the job looks at each next. */
export type Guests = {
  add(accountId: string, checkAtMs: number): Promise<void>
  /** Null: not a guest's, or closed. */
  get(accountId: string): Promise<Guest | null>
  /**
   * Decides where its credits go, for good; false when it is gone, or goes elsewhere. Safe to
   * repeat.
   */
  convert(accountId: string, to: string, checkAtMs: number): Promise<boolean>
  /** Those to be looked at by now, longest due first. */
  due(limit: number): Promise<readonly Guest[]>
  /** Unless somebody has decided otherwise about it meanwhile. */
  postpone(guest: Guest, checkAtMs: number): Promise<void>
  remove(accountId: string): Promise<void>
}

export type GuestsDeps = {
  readonly orm: NodePgDatabase
  /** Ms since the epoch. */
  readonly now: () => number
}

export function createGuests({ orm, now }: GuestsDeps): Guests {
  const columns = { accountId: table.accountId, convertedTo: table.convertedTo }
  return {
    async add(accountId, checkAtMs) {
      const [createdAt, checkAt] = [new Date(now()), new Date(checkAtMs)]
      await orm.insert(table).values({ accountId, createdAt, checkAt })
    },

    async get(accountId) {
      const [row] = await orm.select(columns).from(table).where(eq(table.accountId, accountId))
      return row ?? null
    },

    async convert(accountId, to, checkAtMs) {
      const isFree = or(isNull(table.convertedTo), eq(table.convertedTo, to))
      const { rowCount } = await orm
        .update(table)
        .set({ convertedTo: to, checkAt: new Date(checkAtMs) })
        .where(and(eq(table.accountId, accountId), isFree))
      return rowCount === 1
    },

    due: (limit) =>
      orm
        .select(columns)
        .from(table)
        .where(lte(table.checkAt, new Date(now())))
        .orderBy(asc(table.checkAt))
        .limit(limit),

    async postpone({ accountId, convertedTo }, checkAtMs) {
      const isSame =
        convertedTo === null ? isNull(table.convertedTo) : eq(table.convertedTo, convertedTo)
      await orm
        .update(table)
        .set({ checkAt: new Date(checkAtMs) })
        .where(and(eq(table.accountId, accountId), isSame))
    },

    async remove(accountId) {
      await orm.delete(table).where(eq(table.accountId, accountId))
    },
  }
}
