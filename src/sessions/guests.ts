import { and, asc, eq, isNotNull, isNull, lte, or, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { guestAccounts as table } from './tables.js'

export type Guest = {
  readonly accountId: string
  /** The account that its credits go to; null: it is still a guest's. */
  readonly convertedTo: string | null
}

/** Far beyond any: a user does not become another user. */
const MAX_HOPS = 8

/**
 * The accounts of guests that are still open, and when the job looks at each next; and who became
 * whom, for good: payments that a guest began may come long after its account is closed.
 */
export type Guests = {
  add(accountId: string, checkAtMs: number): Promise<void>
  /** Null: not a guest's, or closed without having become a user. */
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
  /** There is nothing more to do; of one who became a user it is known all the same. */
  finish(accountId: string): Promise<void>
  /** Whose account a guest's has become, in the end; any other account is its own. One read. */
  payeeOf(accountId: string): Promise<string>
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

    async finish(accountId) {
      const isIt = eq(table.accountId, accountId)
      await orm.delete(table).where(and(isIt, isNull(table.convertedTo)))
      // also of one who was thought to have left, and became a user just now
      await orm
        .update(table)
        .set({ checkAt: null })
        .where(and(isIt, isNotNull(table.convertedTo)))
    },

    async payeeOf(accountId) {
      const { rows } = await orm.execute<{ id: string }>(chainFrom(accountId))
      return rows[0]?.id ?? accountId
    },
  }
}

const chainFrom = (accountId: string) => sql`
  with recursive chain (id, hops) as (
    select ${accountId}::text, 0
    union all
    select g.converted_to, c.hops + 1
      from chain c
      join ${table} g on g.account_id = c.id
     where g.converted_to is not null
       and c.hops < ${MAX_HOPS}
  )
  select id
    from chain
   order by hops desc
   limit 1`
