import { and, asc, desc, eq, inArray, isNotNull, lt, lte, ne, or, sql } from 'drizzle-orm'
import { sqlStateOf } from '../db/errors.js'
import type { Database } from '../db/open.js'
import { inTransaction } from '../db/transaction.js'
import { enqueueEvents, type OutboxEvent } from '../ledger/outbox.js'
import type { ProviderName } from '../payment-facts.js'
import { creditPurchases as table } from './tables.js'

/** Writes of one purchase give up after this long; the job goes on with it. */
const DEADLINE_MS = 5_000
const UNIQUE_VIOLATION = '23505'

export type Purchase = typeof table.$inferSelect
export type NewPurchase = typeof table.$inferInsert
export type PurchaseChange = Partial<Omit<NewPurchase, 'id' | 'version'>>

/** Where a page of an account's purchases begins. */
export type Position = readonly [createdAtMs: number, id: string]

export type PurchaseStore = {
  /** Null when another purchase has its request key. */
  insert(purchase: NewPurchase): Promise<Purchase | null>
  get(id: string): Promise<Purchase | null>
  byCheckout(provider: ProviderName, checkoutId: string): Promise<Purchase | null>
  byPayment(provider: ProviderName, paymentId: string): Promise<Purchase | null>
  byRequest(requestKey: string): Promise<Purchase | null>
  /** Newest first. */
  list(accountId: string, before: Position | null, limit: number): Promise<readonly Purchase[]>
  /**
   * Changes the purchase unless somebody else has meanwhile: then null. `taken`: another purchase
   * has this payment or checkout. The events are told in the same write.
   */
  update(
    purchase: Purchase,
    change: PurchaseChange,
    events?: readonly OutboxEvent[],
  ): Promise<Purchase | 'taken' | null>
  /** Deletes a purchase whose checkout was never begun. */
  remove(id: string): Promise<void>
  /** Those that something is left to do for, longest due first. */
  due(limit: number): Promise<readonly Purchase[]>
  /** Whether a dispute of another purchase keeps the account frozen. */
  isFrozenForAnother(purchase: Purchase): Promise<boolean>
}

export type PurchaseStoreDeps = {
  readonly db: Pick<Database, 'pool' | 'orm' | 'readOrm'>
  /** Ms since the epoch. */
  readonly now: () => number
}

/** Purchases in the database; each is changed by one at a time, told apart by its version. */
export function createPurchaseStore({ db, now }: PurchaseStoreDeps): PurchaseStore {
  const { orm, readOrm } = db
  const one = async (rows: Promise<Purchase[]>): Promise<Purchase | null> => (await rows)[0] ?? null

  return {
    insert: (purchase) => one(orm.insert(table).values(purchase).onConflictDoNothing().returning()),

    get: (id) => one(readOrm.select().from(table).where(eq(table.id, id))),

    byCheckout: (provider, checkoutId) =>
      one(
        readOrm
          .select()
          .from(table)
          .where(and(eq(table.provider, provider), eq(table.checkoutId, checkoutId))),
      ),

    byPayment: (provider, paymentId) =>
      one(
        readOrm
          .select()
          .from(table)
          .where(and(eq(table.provider, provider), eq(table.paymentId, paymentId))),
      ),

    byRequest: (requestKey) =>
      one(readOrm.select().from(table).where(eq(table.requestKey, requestKey))),

    list: (accountId, before, limit) =>
      readOrm
        .select()
        .from(table)
        .where(and(eq(table.accountId, accountId), before === null ? undefined : isBefore(before)))
        .orderBy(desc(table.createdAt), desc(table.id))
        .limit(limit),

    update: (purchase, change, events = []) => updateOne(db, { purchase, change, events }, now()),

    async remove(id) {
      await orm
        .delete(table)
        .where(and(eq(table.id, id), eq(table.checkoutState, 'pending'), noCheckout))
    },

    due: (limit) =>
      readOrm
        .select()
        .from(table)
        .where(lte(table.nextAttemptAt, new Date(now())))
        .orderBy(asc(table.nextAttemptAt))
        .limit(limit),

    async isFrozenForAnother({ id, grantedTo, accountId }) {
      const [other] = await orm
        .select({ id: table.id })
        .from(table)
        .where(
          and(
            isNotNull(table.freeze),
            inArray(table.freeze, ['freezing', 'frozen']),
            ne(table.id, id),
            sql`coalesce(${table.grantedTo}, ${table.accountId}) = ${grantedTo ?? accountId}`,
          ),
        )
        .limit(1)
      return other !== undefined
    },
  }
}

const noCheckout = sql`${table.checkoutId} is null`

const isBefore = ([createdAtMs, id]: Position) => {
  const createdAt = new Date(createdAtMs)
  return or(lt(table.createdAt, createdAt), and(eq(table.createdAt, createdAt), lt(table.id, id)))
}

type Update = {
  readonly purchase: Purchase
  readonly change: PurchaseChange
  readonly events: readonly OutboxEvent[]
}

/** A version is never written twice, so that doing it again after a lost reply does no harm. */
async function updateOne(
  db: PurchaseStoreDeps['db'],
  { purchase, change, events }: Update,
  nowMs: number,
): Promise<Purchase | 'taken' | null> {
  const { id, version } = purchase
  try {
    return await inTransaction(
      db,
      async (tx) => {
        const [row] = await tx
          .update(table)
          .set({ ...change, version: version + 1, updatedAt: new Date(nowMs) })
          .where(and(eq(table.id, id), eq(table.version, version)))
          .returning()
        if (!row) return null
        await enqueueEvents(tx, events)
        return row
      },
      { deadlineMs: DEADLINE_MS, isRepeatable: true },
    )
  } catch (error) {
    if (sqlStateOf(error) === UNIQUE_VIOLATION) return 'taken'
    throw error
  }
}
