import { and, asc, count, desc, eq, gt, inArray, ne, or, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Database } from '../db/open.js'
import { type Beside, inTransaction, type Transaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { invalidField } from '../http/validator.js'
import type { ProviderName } from '../payment-facts.js'
import { plans } from './tables.js'

/** All of them are read for each allocation, so their number is bounded. */
export const MAX_PLANS = 500
const DEADLINE_MS = 5_000
/** Writers one after another, so that the bound and the prices hold. */
const LOCK = sql`lock table subscription_credit_config in share row exclusive mode`

type Row = typeof plans.$inferSelect

/** What an operator says of a plan; what is left out stays as it is. */
export type PlanChange = {
  readonly [K in keyof Omit<Row, 'id' | 'createdAt' | 'updatedAt'>]?: Row[K] | undefined
}

export type Plan = Omit<Row, 'createdAt' | 'updatedAt'> & {
  readonly id: string
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

/** Where a page of plans begins: after the plan with this order and id. */
export type PlanPosition = readonly [sortOrder: number, id: string]

export type PlanPage = {
  /** Only those that are offered. */
  readonly isActive: boolean
  readonly after: PlanPosition | null
  readonly limit: number
}

export type PutPlan = { readonly plan: Plan; readonly isNew: boolean }

export type PlanStore = {
  /** By sort order, then by id. */
  list(page: PlanPage): Promise<readonly Plan[]>
  get(id: string): Promise<Plan | null>
  /** The plan with most credits that the provider sells at one of these prices. */
  findByPrice(provider: ProviderName, priceIds: readonly string[]): Promise<Plan | null>
  /**
   * Makes a plan, or changes what is named of it. Throws `invalid_request` for a new one that lacks
   * something and for a price that another plan has, and `limit_exceeded`. Safe to repeat. `beside`
   * joins the transaction.
   */
  put(id: string, change: PlanChange, beside?: Beside<PutPlan>): Promise<PutPlan>
}

export function createPlanStore(db: Database): PlanStore {
  return {
    async list({ isActive, after, limit }) {
      const isAfter =
        after === null
          ? undefined
          : or(
              gt(plans.sortOrder, after[0]),
              and(eq(plans.sortOrder, after[0]), gt(plans.id, after[1])),
            )
      const rows = await db.readOrm
        .select()
        .from(plans)
        .where(and(isActive ? eq(plans.active, true) : undefined, isAfter))
        .orderBy(asc(plans.sortOrder), asc(plans.id))
        .limit(limit)
      return rows.map(planOf)
    },
    async get(id) {
      const [row] = await db.readOrm.select().from(plans).where(eq(plans.id, id))
      return row ? planOf(row) : null
    },
    async findByPrice(provider, priceIds) {
      const column = PRICES[provider]
      if (column === undefined || priceIds.length === 0) return null
      const [row] = await db.readOrm
        .select()
        .from(plans)
        .where(inArray(plans[column], [...priceIds]))
        .orderBy(desc(plans.monthlyCredits), asc(plans.id))
        .limit(1)
      return row ? planOf(row) : null
    },
    put: (id, change, beside) =>
      inTransaction(
        db,
        async (tx) => {
          await tx.execute(LOCK)
          const put = await putPlan(tx, id, change)
          await beside?.(tx, put)
          return put
        },
        { deadlineMs: DEADLINE_MS, isRepeatable: true },
      ),
  }
}

/** Every plan there is, by its id. */
export async function allPlans(on: NodePgDatabase): Promise<ReadonlyMap<string, Plan>> {
  const rows = await on.select().from(plans).limit(MAX_PLANS)
  return new Map(rows.map((row) => [row.id, planOf(row)]))
}

const PRICES: Partial<Record<ProviderName, 'stripePriceId' | 'creemPriceId'>> = {
  stripe: 'stripePriceId',
  creem: 'creemPriceId',
}

async function putPlan(tx: Transaction, id: string, change: PlanChange): Promise<PutPlan> {
  const [before] = await tx.select({ id: plans.id }).from(plans).where(eq(plans.id, id))
  for (const column of ['stripePriceId', 'creemPriceId'] as const) {
    await requireFree(tx, id, column, change[column] ?? null)
  }
  const updatedAt = sql`now()`
  if (before) {
    const set = { ...change, updatedAt }
    const [row] = await tx.update(plans).set(set).where(eq(plans.id, id)).returning()
    if (!row) throw new Error('a plan is gone')
    return { plan: planOf(row), isNew: false }
  }
  const { tier, monthlyCredits, name = id } = change
  if (tier === undefined) throw invalidField('tier', LACKING)
  if (monthlyCredits === undefined) throw invalidField('monthlyCredits', LACKING)
  await requireRoom(tx)
  const made = { ...change, id, tier, monthlyCredits, name, createdAt: updatedAt, updatedAt }
  const [row] = await tx.insert(plans).values(made).returning()
  if (!row) throw new Error('an insert returned no row')
  return { plan: planOf(row), isNew: true }
}

const LACKING = 'Is required for a new plan'

async function requireRoom(tx: Transaction): Promise<void> {
  const [row] = await tx.select({ plans: count() }).from(plans)
  if ((row?.plans ?? 0) < MAX_PLANS) return
  throw new AppError('limit_exceeded', `There are at most ${MAX_PLANS} plans`, { limit: MAX_PLANS })
}

async function requireFree(
  tx: Transaction,
  id: string,
  column: 'stripePriceId' | 'creemPriceId',
  priceId: string | null,
): Promise<void> {
  if (priceId === null) return
  const [other] = await tx
    .select({ id: plans.id })
    .from(plans)
    .where(and(eq(plans[column], priceId), ne(plans.id, id)))
  if (other) throw invalidField(column, `Is the price of the plan ${other.id}`)
}

function planOf({ createdAt, updatedAt, ...rest }: Row): Plan {
  return { ...rest, createdAtMs: createdAt.getTime(), updatedAtMs: updatedAt.getTime() }
}
