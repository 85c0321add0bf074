import { and, count, eq, ne, sql } from 'drizzle-orm'
import type { Database } from '../../db/open.js'
import { type Beside, inTransaction, type Transaction } from '../../db/transaction.js'
import { AppError } from '../../errors.js'
import { type Page, pageOf } from '../../http/page.js'
import { invalidField } from '../../http/validator.js'
import { creditPackages as table } from '../tables.js'
import type { PackageBody, PackageView } from './schema.js'

/** What a shop sells is a few dozen; a list without end is a mistake. */
export const MAX_PACKAGES = 1_000
const DEADLINE_MS = 5_000

export type PackagePosition = readonly [sortOrder: number, id: string]

export type Packages = {
  /** By sort order, then id; those for sale, or all of them. */
  getCreditPackages(page: {
    readonly all: boolean
    readonly after: PackagePosition | null
    readonly limit: number
  }): Promise<Page<PackageView>>
  /** Throws `package_not_found`; one that is not for sale is given too. */
  get(id: string): Promise<PackageView>
  /**
   * Makes the package, or changes what the body names of it. Purchases keep what they were made
   * with. Throws `invalid_request` for a new one that lacks something and for a provider's id that
   * another package has, `limit_exceeded`. Safe to repeat. `beside` joins the transaction.
   */
  put(
    id: string,
    body: PackageBody,
    beside?: Beside<{ package: PackageView; isNew: boolean }>,
  ): Promise<{ package: PackageView; isNew: boolean }>
}

export type PackagesDeps = {
  readonly db: Pick<Database, 'pool' | 'reader' | 'readOrm'>
  /** Ms since the epoch. */
  readonly now: () => number
}

/** The packages that are sold, read from the database each time: see docs/decisions/0006. */
export function createPackages({ db, now }: PackagesDeps): Packages {
  const { readOrm } = db
  return {
    async getCreditPackages({ all, after, limit }) {
      const [sortOrder, id] = after ?? [null, null]
      const values = [all, sortOrder, id, limit + 1]
      const { rows } = await db.reader.query<Row>({ text: LIST, values })
      const page = pageOf(rows, limit, (last) => [last.sortOrder, last.id])
      return { ...page, items: page.items.map(viewOf) }
    },

    async get(id) {
      const [row] = await readOrm.select().from(table).where(eq(table.id, id))
      if (!row) throw new AppError('package_not_found', `There is no package ${id}`)
      return viewOf(row)
    },

    put: (id, body, beside) =>
      inTransaction(
        db,
        async (tx) => {
          const written = await write(tx, { id, body, nowMs: now() })
          await beside?.(tx, written)
          return written
        },
        { deadlineMs: DEADLINE_MS, isRepeatable: true },
      ),
  }
}

type Row = typeof table.$inferSelect

/** Asked for by everybody who looks at a shop: the query builder would cost six times as much. */
const LIST = `
  select id, name, credits, price, currency,
         stripe_price_id as "stripePriceId",
         creem_price_id as "creemPriceId",
         description, popular, active,
         sort_order as "sortOrder",
         created_at as "createdAt",
         updated_at as "updatedAt"
    from credit_packages
   where (active or $1::boolean)
     and ($2::integer is null or (sort_order, id) > ($2, $3::text))
   order by sort_order, id
   limit $4`

type Put = { readonly id: string; readonly body: PackageBody; readonly nowMs: number }

async function write(tx: Transaction, { id, body, nowMs }: Put) {
  // writers one after another: provider's ids and the number of packages are counted over all
  await tx.execute(sql`lock table credit_packages in share row exclusive mode`)
  const [known] = await tx.select().from(table).where(eq(table.id, id))
  await refuseTaken(tx, id, body)
  const at = { updatedAt: new Date(nowMs) }
  const terms = termsOf(body)
  if (known) {
    const [row] = await tx
      .update(table)
      .set({ ...terms, ...at })
      .where(eq(table.id, id))
      .returning()
    if (row) return { package: viewOf(row), isNew: false }
  }
  const { name, credits, price, currency } = terms
  if (name === undefined) throw invalidField('name', 'Is required for a new package')
  if (credits === undefined) throw invalidField('credits', 'Is required for a new package')
  if (price === undefined) throw invalidField('price', 'Is required for a new package')
  if (currency === undefined) throw invalidField('currency', 'Is required for a new package')
  await requireRoom(tx)
  const [row] = await tx
    .insert(table)
    .values({ ...terms, id, name, credits, price, currency, createdAt: at.updatedAt, ...at })
    .returning()
  if (!row) throw new Error('an insert returned no row')
  return { package: viewOf(row), isNew: true }
}

async function refuseTaken(tx: Transaction, id: string, body: PackageBody): Promise<void> {
  for (const field of ['stripePriceId', 'creemPriceId'] as const) {
    const value = body[field]
    if (typeof value !== 'string') continue
    const [other] = await tx
      .select({ id: table.id })
      .from(table)
      .where(and(eq(table[field], value), ne(table.id, id)))
    if (other) throw invalidField(field, `The package ${other.id} has it`)
  }
}

async function requireRoom(tx: Transaction): Promise<void> {
  const [row] = await tx.select({ count: count() }).from(table)
  if ((row?.count ?? 0) < MAX_PACKAGES) return
  const message = `There can be at most ${MAX_PACKAGES} packages`
  throw new AppError('limit_exceeded', message, { limit: MAX_PACKAGES })
}

/** What is absent stays. */
function termsOf({ currency, ...body }: PackageBody): Partial<typeof table.$inferInsert> {
  const given = Object.fromEntries(
    Object.entries(body).filter(([, value]) => value !== undefined),
  ) as Partial<typeof table.$inferInsert>
  return { ...given, ...(currency !== undefined && { currency: currency.toUpperCase() }) }
}

const viewOf = ({ createdAt, updatedAt, ...row }: Row): PackageView => ({
  ...row,
  createdAt: createdAt.toISOString(),
  updatedAt: updatedAt.toISOString(),
})
