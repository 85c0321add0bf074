import { and, eq, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Database } from '../db/open.js'
import { inTransaction, type Transaction } from '../db/transaction.js'
import type { ProviderName, Reversal, ReversalFact } from '../payment-facts.js'
import { isNewer, type KnownReversal } from './state.js'
import { creditPurchases, paymentReversals as table } from './tables.js'

const DEADLINE_MS = 5_000
/** A payment has a few refunds and disputes at most; this many are looked at. */
export const MAX_REVERSALS = 1_000

export type Payment = { readonly provider: ProviderName; readonly paymentId: string }

export type ReversalStore = {
  /** All refunds and disputes that are known of a payment. */
  of(payment: Payment): Promise<readonly KnownReversal[]>
  /**
   * Notes the readings that are newer than what is known, whether or not the payment is known to
   * be a purchase's; one that is has then something left to do. Safe to repeat.
   */
  note(fact: ReversalFact): Promise<void>
  /**
   * Books a refund that no provider but us makes. `amountOf` is told what was reversed already, by
   * nobody else at the same time, and throws where it refuses. An id that is there is that refund.
   */
  book(
    payment: Payment & { readonly purchaseId: string; readonly paidAmount: number },
    refund: { readonly id: string; readonly currency: string },
    amountOf: (known: readonly KnownReversal[]) => number,
  ): Promise<Reversal>
}

export type ReversalStoreDeps = {
  readonly db: Pick<Database, 'pool' | 'readOrm'>
  /** Ms since the epoch. */
  readonly now: () => number
}

export function createReversalStore({ db, now }: ReversalStoreDeps): ReversalStore {
  const within = <T>(act: (tx: Transaction) => Promise<T>): Promise<T> =>
    inTransaction(db, act, { deadlineMs: DEADLINE_MS, isRepeatable: true })
  return {
    of: (payment) => readAll(db.readOrm, payment),

    note: (fact) =>
      within(async (tx) => {
        await lockPurchase(tx, fact)
        let isNews = false
        for (const reversal of fact.reversals) {
          if (await noteOne(tx, { fact, reversal }, now())) isNews = true
        }
        if (isNews) await wake(tx, fact, now())
      }),

    book: (payment, { id, currency }, amountOf) =>
      within(async (tx) => {
        await lockPurchase(tx, payment)
        const known = await readAll(tx, payment)
        const booked = known.find((reversal) => reversal.id === id)
        if (booked) return booked
        const amount = amountOf(known)
        const reversal = { id, type: 'refund', amount, state: 'succeeded' } as const
        const nowMs = now()
        const fact: ReversalFact = {
          ...payment,
          kind: 'reversal',
          currency,
          reversals: [reversal],
          asOfMs: nowMs,
        }
        await noteOne(tx, { fact, reversal }, nowMs)
        await wake(tx, payment, nowMs)
        return reversal
      }),
  }
}

async function readAll(
  orm: NodePgDatabase,
  { provider, paymentId }: Payment,
): Promise<KnownReversal[]> {
  const rows = await orm
    .select({
      id: table.id,
      type: table.type,
      amount: table.amount,
      state: table.state,
      paidAmount: table.paidAmount,
      asOf: table.asOf,
    })
    .from(table)
    .where(and(eq(table.provider, provider), eq(table.paymentId, paymentId)))
    .limit(MAX_REVERSALS)
  return rows.map(({ asOf, ...row }) => ({ ...row, asOfMs: asOf.getTime() }))
}

/**
 * Whoever completes a purchase writes its payment and then reads the reversals; whoever notes a
 * reversal takes the same row first, so that one of them sees what the other wrote.
 */
async function lockPurchase(
  tx: Transaction,
  { provider, paymentId, purchaseId }: Payment & { readonly purchaseId: string | null },
): Promise<void> {
  const { id, provider: by, paymentId: payment } = creditPurchases
  await tx
    .select({ id })
    .from(creditPurchases)
    .where(sql`${id} = ${purchaseId} or (${by} = ${provider} and ${payment} = ${paymentId})`)
    .orderBy(id)
    .for('update')
}

type Noted = {
  readonly fact: ReversalFact
  readonly reversal: Reversal
}

/** Whether it was news. */
async function noteOne(
  tx: Transaction,
  { fact, reversal }: Noted,
  nowMs: number,
): Promise<boolean> {
  const { provider, paymentId, purchaseId, currency, paidAmount, asOfMs } = fact
  const { id, type, amount, state } = reversal
  const at = { asOf: new Date(asOfMs), updatedAt: new Date(nowMs) }
  const inserted = await tx
    .insert(table)
    .values({
      ...{ provider, id, paymentId, purchaseId, type, amount, currency, paidAmount, state },
      ...at,
      createdAt: at.updatedAt,
    })
    .onConflictDoNothing()
  if (inserted.rowCount === 1) return true
  const isIt = and(eq(table.provider, provider), eq(table.id, id))
  const [known] = await tx
    .select({
      ...{ id: table.id, type: table.type, amount: table.amount, state: table.state },
      ...{ paidAmount: table.paidAmount, asOf: table.asOf },
    })
    .from(table)
    .where(isIt)
    .for('update')
  if (!known) return false
  const reading = { ...reversal, paidAmount, asOfMs }
  if (!isNewer(reading, { ...known, asOfMs: known.asOf.getTime() })) return false
  await tx
    .update(table)
    .set({ amount, state, paidAmount, ...at, ...(purchaseId !== null && { purchaseId }) })
    .where(isIt)
  return known.state !== state || known.amount !== amount || known.paidAmount !== paidAmount
}

/** Its version moves on, so that nobody finishes with what they read before. */
async function wake(
  tx: Transaction,
  { provider, paymentId }: Payment,
  nowMs: number,
): Promise<void> {
  const { provider: by, paymentId: payment, version } = creditPurchases
  await tx
    .update(creditPurchases)
    .set({ version: sql`${version} + 1`, nextAttemptAt: new Date(nowMs) })
    .where(and(eq(by, provider), eq(payment, paymentId)))
}
