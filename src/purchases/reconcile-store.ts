import { and, asc, eq, gt, inArray, isNull, lt, min, or, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { PaymentFact, ProviderName } from '../payment-facts.js'
import { paymentReversals as reversals, creditPurchases as table } from './tables.js'

const DAY_MS = 24 * 3_600_000
/** A provider that keeps us waiting for more than these is asked for the rest another night. */
const MAX_OPEN = 10_000
/** After this long an open checkout is over for us. */
const OPEN_AT_MOST_MS = 35 * DAY_MS
/** Some thousand calls; those that were read longest ago come first, so that each has its turn. */
const MAX_UNSETTLED = 2_000
/** Banks take months over a dispute. */
const DISPUTED_AT_MOST_MS = 180 * DAY_MS
/** A refund that the buyer's bank turns away comes back within weeks. */
const REFUND_MAY_FAIL_MS = 30 * DAY_MS

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
  /**
   * The purchases through a provider whose refunds and disputes may still turn: those with a
   * dispute that has not ended, and those with a refund that went through not long ago. Those that
   * were read longest ago first, of a bounded age and number.
   */
  unsettled(provider: ProviderName, nowMs: number): Promise<readonly OpenPurchase[]>
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

  unsettled: (provider, nowMs) =>
    orm
      .select({ purchaseId: table.id, checkoutId: table.checkoutId, paymentId: table.paymentId })
      .from(table)
      .innerJoin(
        reversals,
        and(eq(reversals.provider, table.provider), eq(reversals.paymentId, table.paymentId)),
      )
      .where(and(eq(table.provider, provider), mayTurn(nowMs)))
      .groupBy(table.id)
      .orderBy(asc(min(reversals.asOf)), asc(table.id))
      .limit(MAX_UNSETTLED),

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
  select from ${reversals}
  where ${reversals.provider} = ${table.provider}
    and ${reversals.paymentId} = ${table.paymentId}
    and ${reversals.state} = 'pending'
)`

const mayTurn = (nowMs: number) =>
  or(
    and(
      eq(reversals.type, 'dispute'),
      inArray(reversals.state, ['inquiry', 'open', 'withdrawn']),
      gt(reversals.createdAt, new Date(nowMs - DISPUTED_AT_MOST_MS)),
    ),
    and(
      eq(reversals.type, 'refund'),
      eq(reversals.state, 'succeeded'),
      gt(reversals.createdAt, new Date(nowMs - REFUND_MAY_FAIL_MS)),
    ),
  )

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
