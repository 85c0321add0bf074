import type { Payment } from './standing.js'

/*
 * Changes of a plan within a period that is paid. Stripe names them, and from when on they count.
 * Creem charges the difference and leaves the period as it is: there a change is known by its plan
 * and by when it was paid.
 */

/** What is paid later than this after its period began is paid within it. */
const WITHIN_MS = 86_400_000

/** When a payment was made, as far as it matters: what came with its period, at its beginning. */
const countsFromMs = ({ periodStartMs, periodEndMs, paidAtMs }: Payment): number => {
  const isWithin = paidAtMs !== null && paidAtMs - periodStartMs > WITHIN_MS
  return isWithin && paidAtMs < periodEndMs ? paidAtMs : periodStartMs
}

/**
 * Payments by when they begin to count. Of those for one period, told with when they were paid, one
 * for another plan than the one before it is a change from when it was paid.
 */
export function withChanges(payments: readonly Payment[]): Payment[] {
  const before = new Map<number, Payment>()
  const changed = payments.toSorted(byPaid).map((payment) => {
    const { reason, paidAtMs, periodStartMs, planId } = payment
    if (reason === 'update' || paidAtMs === null) return payment
    const last = before.get(periodStartMs)
    before.set(periodStartMs, payment)
    if (last === undefined || (last.planId === planId && last.reason !== 'update')) return payment
    const update = { ...payment, reason: 'update', periodStartMs: countsFromMs(payment) } as const
    before.set(periodStartMs, update)
    return update
  })
  return changed.toSorted((a, b) => a.periodStartMs - b.periodStartMs)
}

/** Whether a payment is for a change of what was paid before, as far as that is known. */
export function isChange(payment: Payment, known: readonly Payment[]): boolean {
  if (payment.reason === 'update') return true
  if (countsFromMs(payment) === payment.periodStartMs) return false
  // a first period is paid when it begins; another may be paid late, and is for the plan before it
  if (payment.reason === 'create') return true
  const last = known.findLast(({ periodStartMs }) => periodStartMs < payment.periodStartMs)
  return last !== undefined && last.planId !== payment.planId
}

/** Whether it is known what the period began with that a payment changes. */
export const isBegun = (
  { paymentId, periodStartMs }: Payment,
  known: readonly Payment[],
): boolean =>
  known.some(
    (other) =>
      other.paymentId === paymentId ||
      (other.reason !== 'update' &&
        other.periodStartMs <= periodStartMs &&
        periodStartMs < other.periodEndMs),
  )

const paidMs = ({ periodStartMs, paidAtMs }: Payment): number => paidAtMs ?? periodStartMs

const byPaid = (a: Payment, b: Payment): number =>
  a.periodStartMs - b.periodStartMs || paidMs(a) - paidMs(b) || (a.paymentId < b.paymentId ? -1 : 1)
