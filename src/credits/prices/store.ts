import { asc, count, eq, sql } from 'drizzle-orm'
import type { Database } from '../../db/open.js'
import { type Beside, inTransaction, type Transaction, withRetries } from '../../db/transaction.js'
import { AppError } from '../../errors.js'
import { prices, tiers } from '../tables.js'
import type { Price, PriceTerms, Tier } from './price-list.js'

export const MAX_PRICES = 10_000
/** Reads and writes of the list give up after this long. */
const DEADLINE_MS = 5_000

/** The list as it is stored; `fingerprint` differs when anything in it does. */
export type StoredList = {
  readonly fingerprint: string
  readonly prices: readonly Price[]
  readonly tiers: readonly Tier[]
}

export type PriceStore = {
  /**
   * The list, unless it is the one with the fingerprint already known: then null. `onAttempt` is
   * called before each attempt, so that the caller knows what moment the answer is younger than.
   */
  load(known: string | null, onAttempt: () => void): Promise<StoredList | null>
  put(action: string, terms: PriceTerms, beside?: Beside<Price>): Promise<Price>
  /** What was there; null, and nothing written beside, when there was nothing. */
  remove(action: string, beside?: Beside<Price>): Promise<Price | null>
  replaceTiers(list: readonly Tier[], beside?: Beside<readonly Tier[]>): Promise<void>
}

/** The price list in the database; what is given as `beside` joins the transaction. */
export function createPriceStore(db: Database): PriceStore {
  function write<T>(act: (tx: Transaction) => Promise<T>, isRepeatable: boolean): Promise<T> {
    const locked = async (tx: Transaction) => {
      await lockList(tx)
      return act(tx)
    }
    return inTransaction(db, locked, { deadlineMs: DEADLINE_MS, isRepeatable })
  }
  return {
    load: (known, onAttempt) =>
      withRetries(
        () => {
          onAttempt()
          return loadList(db, known)
        },
        { deadlineMs: DEADLINE_MS },
      ),
    put: (action, terms, beside) =>
      write(async (tx) => {
        const price = await putPrice(tx, action, terms)
        await beside?.(tx, price)
        return price
      }, true),
    remove: (action, beside) =>
      write(async (tx) => {
        const price = await removePrice(tx, action)
        if (price !== null) await beside?.(tx, price)
        return price
      }, false),
    replaceTiers: (list, beside) =>
      write(async (tx) => {
        await replaceTiers(tx, list)
        await beside?.(tx, list)
      }, true),
  }
}

/** Writers one after another, so that a price and the tiers it names never change at once. */
const lockList = (tx: Transaction) =>
  tx.execute(sql`lock table tiers, prices in share row exclusive mode`)

const PRICE_ROWS = sql`
  select
    action,
    cost,
    tier_costs as "tierCosts",
    formula,
    minimum,
    required_tier as "requiredTier",
    description,
    (extract(epoch from created_at) * 1000)::bigint as "createdAtMs",
    (extract(epoch from updated_at) * 1000)::bigint as "updatedAtMs"
  from prices`
const TIER_ROWS = sql`select id, level from tiers`

/** Rows differ at least in their keys, so none cancels another; all columns count. */
const FINGERPRINT = sql`
  (select count(*) || ':' || coalesce(bit_xor(hash_record_extended(p, 0)), 0) from prices p)
  || '/' ||
  (select count(*) || ':' || coalesce(bit_xor(hash_record_extended(t, 0)), 0) from tiers t)`

/**
 * One statement is one snapshot and one round trip; the lists are put together only when their
 * fingerprint is a new one. By content rather than by a counter, so that a change made by hand
 * counts like any other.
 */
async function loadList(db: Database, known: string | null): Promise<StoredList | null> {
  const { rows } = await db.orm.execute<{
    fingerprint: string
    prices: Price[] | null
    tiers: Tier[] | null
  }>(sql`
    with stored as materialized (select ${FINGERPRINT} as fingerprint)
    select
      fingerprint,
      case when fingerprint is distinct from ${known} then
        (select coalesce(json_agg(r), '[]') from (${PRICE_ROWS} limit ${MAX_PRICES}) r)
      end as prices,
      case when fingerprint is distinct from ${known} then
        (select coalesce(json_agg(r), '[]') from (${TIER_ROWS}) r)
      end as tiers
    from stored`)
  const [row] = rows
  if (!row?.prices || !row.tiers) return null
  return { fingerprint: row.fingerprint, prices: row.prices, tiers: row.tiers }
}

async function putPrice(tx: Transaction, action: string, terms: PriceTerms): Promise<Price> {
  await requireTiers(tx, terms)
  const [before] = await tx
    .select({ at: prices.createdAt })
    .from(prices)
    .where(eq(prices.action, action))
  if (!before) await requireRoom(tx)
  const stamp = sql`now()`
  const [row] = await tx
    .insert(prices)
    .values({ action, ...terms, createdAt: stamp, updatedAt: stamp })
    .onConflictDoUpdate({ target: prices.action, set: { ...terms, updatedAt: stamp } })
    .returning()
  if (!row) throw new Error('an upsert returned no row')
  return priceOf(row)
}

async function requireTiers(tx: Transaction, terms: PriceTerms): Promise<void> {
  const stored = await tx.select({ id: tiers.id }).from(tiers)
  const known = new Set(stored.map(({ id }) => id))
  const named = [terms.requiredTier ?? [], Object.keys(terms.tierCosts ?? {})].flat()
  const unknown = named.find((id) => !known.has(id))
  if (unknown === undefined) return
  const path = unknown === terms.requiredTier ? 'requiredTier' : `tierCosts.${unknown}`
  const message = `There is no tier ${unknown}`
  throw new AppError('invalid_request', `body ${path}: ${message}`, {
    errors: [{ in: 'body', path, message }],
  })
}

async function requireRoom(tx: Transaction): Promise<void> {
  const [row] = await tx.select({ count: count() }).from(prices)
  if ((row?.count ?? 0) < MAX_PRICES) return
  throw new AppError('limit_exceeded', `The price list holds at most ${MAX_PRICES} actions`)
}

async function removePrice(tx: Transaction, action: string): Promise<Price | null> {
  const [row] = await tx.delete(prices).where(eq(prices.action, action)).returning()
  return row ? priceOf(row) : null
}

function priceOf({ createdAt, updatedAt, ...row }: typeof prices.$inferSelect): Price {
  return { ...row, createdAtMs: createdAt.getTime(), updatedAtMs: updatedAt.getTime() }
}

async function replaceTiers(tx: Transaction, list: readonly Tier[]): Promise<void> {
  await requireUnused(tx, new Set(list.map(({ id }) => id)))
  await tx.delete(tiers)
  if (list.length > 0) await tx.insert(tiers).values([...list])
}

/** A price never names a tier that is not there: whom it lets in would be anybody's guess. */
async function requireUnused(tx: Transaction, kept: ReadonlySet<string>): Promise<void> {
  const rows = await tx
    .select({ action: prices.action, required: prices.requiredTier, costs: prices.tierCosts })
    .from(prices)
    .orderBy(asc(prices.action))
  for (const { action, required, costs } of rows) {
    const named = [required ?? [], Object.keys(costs ?? {})].flat()
    const lost = named.find((id) => !kept.has(id))
    if (lost === undefined) continue
    const message = `The price of ${action} names the tier ${lost}: change it before`
    throw new AppError('tier_in_use', message, { tier: lost, action })
  }
}
