import { and, asc, eq, gt, inArray, isNull, lt, or, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { PaymentFact, ProviderName } from '../payment-facts.js'
import { paymentReversals, creditPurchases as table } from './tables.js'

/** A provider that keeps us waiting for more than these is asked for the rest another night. */
const MAX_OPEN = 10_000
/** After this long an open checkout is over for us. */
const OPEN_AT_MOST_MS = 35 * 24 * 3_600_000

export type OpenPurchase = {
  readonly purchaseId: string
  readonly checkoutId: string | null
  readonly paymentId: string | null
}

export type ReconcileStore = {
  /**
   * The purchases through a provider, begun before, of which something is still to be heard: how
   * their checkout ends, by which payment they were paid, what becomes of a pending refund. Oldest
   * first, of a bounded age and number.
   */
  open(provider: ProviderName, beforeMs: number): Promise<readonly OpenPurchase[]>
  /** Something that changes when the purchase of a fact does; null: it is of none. */
  markOf(fact: PaymentFact): Promise<string | null>
}

export const createReconcileStore = (orm: NodePgDatabase): ReconcileStore => ({
  open: (provider, beforeMs) =>
    orm
      .select({ purchaseId: table.id, checkoutId: table.checkoutId, paymentId: table.paymentId })
      .from(table)
      .where(
        and(
          eq(table.provider, provider),
          lt(table.createdAt, new Date(beforeMs)),
          or(isOpenSince(beforeMs - OPEN_AT_MOST_MS), hasPendingRefund),
        ),
      )
      .orderBy(asc(table.createdAt), asc(table.id))
      .limit(MAX_OPEN),

  async markOf(fact) {
    const isIt = purchaseOf(fact)
    if (isIt === null) return null
    const { id, version } = table
    const [purchase] = await orm.select({ id, version }).from(table).where(isIt).limit(1)
    return purchase ? `${purchase.id}:${purchase.version}` : null
  },
})

const isOpenSince = (sinceMs: number) =>
  and(
    gt(table.createdAt, new Date(sinceMs)),
    or(
      inArray(table.checkoutState, ['pending', 'processing']),
      and(eq(table.checkoutState, 'paid'), isNull(table.paymentId)),
    ),
  )

const hasPendingRefund = sql`exists (
  select from ${paymentReversals}
  where ${paymentReversals.provider} = ${table.provider}
    and ${paymentReversals.paymentId} = ${table.paymentId}
    and ${paymentReversals.state} = 'pending'
)`

const purchaseOf = (fact: PaymentFact) => {
  const { provider } = fact
  if (fact.kind === 'reversal') {
    return and(eq(table.provider, provider), eq(table.paymentId, fact.paymentId))
  }
  if (fact.kind !== 'checkout') return null
  if (fact.purchaseId !== null) return eq(table.id, fact.purchaseId)
  if (fact.checkoutId === null) return null
  return and(eq(table.provider, provider), eq(table.checkoutId, fact.checkoutId))
}
