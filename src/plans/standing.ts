import type { ProviderName, SubscriptionFact, SubscriptionPaidFact } from '../payment-facts.js'
import { isAnniversary, isWithin, monthAt, type Period } from './calendar.js'
import { type Plans, type PlanTerms, risesOf } from './rules.js'

export type Status = SubscriptionFact['status']

export type Subscription = {
  readonly accountId: string
  readonly planId: string
  /** Which plan follows, and from when on. */
  readonly nextPlan: { readonly planId: string; readonly atMs: number } | null
  readonly status: Status
  readonly link: { readonly provider: ProviderName; readonly subscriptionId: string } | null
  /** Periods are its monthly anniversaries. */
  readonly anchorMs: number
  /** Null: for ever, or with a link, nothing is paid yet. */
  readonly paidUntilMs: number | null
  /** From then on it is over; null: it goes on. */
  readonly endsAtMs: number | null
  /** When it is to be looked at next; null: not by itself. */
  readonly nextMs: number | null
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

/** What a provider said last of a subscription. */
export type Reading = {
  readonly planId: string
  /** Null, like `asOfMs`: only payments were heard of. */
  readonly status: Status | null
  readonly willEnd: boolean
  readonly asOfMs: number | null
  /** Since when it has been this plan. */
  readonly planSinceMs: number | null
}

export type Payment = Pick<
  SubscriptionPaidFact,
  'paymentId' | 'reason' | 'amountPaid' | 'periodStartMs' | 'periodEndMs' | 'paidAtMs'
> & { readonly planId: string }

/** All that is known from a provider of one subscription. */
export type Known = {
  readonly reading: Reading
  /** By the beginning of their periods. */
  readonly payments: readonly Payment[]
  /** Whether a payment for now has just come: it counts whatever the reading says. */
  readonly isPaidNow: boolean
}

/** How a subscription is at an instant, and for which period and plans credits are due. */
export type Standing = {
  readonly subscription: Subscription
  readonly period: Period | null
  /** Null: nothing is to be allocated now. */
  readonly plans: Plans | null
}

export type PlanOf = (planId: string) => PlanTerms

/**
 * Months and the periods of providers part by so much at most: 28 February and 31 March. A period
 * that would be shorter belongs to the one before it.
 */
export const SLACK_MS = 4 * 86_400_000
/** What is paid for less than a month extends the periods, and does not begin one. */
const SHORT_MS = 27 * 86_400_000

const OPEN: ReadonlySet<Status> = new Set(['active', 'trialing'])

/** Whether the subscription is over at an instant. */
export const isOver = ({ endsAtMs }: Pick<Subscription, 'endsAtMs'>, nowMs: number): boolean =>
  endsAtMs !== null && endsAtMs <= nowMs

/** The standing of a subscription that nobody pays for through a provider. */
export function ownStanding(subscription: Subscription, planOf: PlanOf, nowMs: number): Standing {
  const { nextPlan, anchorMs, endsAtMs } = subscription
  if (isOver(subscription, nowMs)) {
    const over = { ...subscription, status: 'canceled', nextPlan: null, nextMs: null } as const
    return { subscription: over, period: null, plans: null }
  }
  const period = monthAt(anchorMs, Math.max(anchorMs, nowMs))
  const isNext = nextPlan !== null && nextPlan.atMs <= period.startMs
  const planId = isNext ? nextPlan.planId : subscription.planId
  const nextMs = endsAtMs !== null && endsAtMs <= period.endMs ? null : period.endMs
  return {
    subscription: { ...subscription, planId, nextPlan: isNext ? null : nextPlan, nextMs },
    period,
    plans: { first: planOf(planId), later: [] },
  }
}

/** The standing of a subscription that a provider bills: made anew from all that is known of it. */
export function billedStanding(
  subscription: Subscription,
  known: Known,
  planOf: PlanOf,
  nowMs: number,
): Standing {
  const { reading, payments } = known
  const schedule = scheduleOf(payments, nowMs)
  const futureMs = payments.find(({ periodStartMs }) => periodStartMs > nowMs)?.periodStartMs
  if (schedule === null) return unpaidStanding(subscription, reading, nowMs, futureMs ?? null)
  const { paidUntilMs, anchorMs } = schedule
  const status = statusOf(reading, schedule)
  const period = periodOn(schedule, nowMs)
  const plans = plansOf(period ?? periodOn(schedule, paidUntilMs - 1), known, planOf, nowMs)
  const planId = (risesOf(plans).at(-1)?.plan ?? plans.first).id
  const isBegunHere = period !== null && payments.some((p) => isWithin(period, p.periodStartMs))
  const isDue = OPEN.has(status) || isBegunHere || known.isPaidNow
  const goesOn = OPEN.has(status) && period !== null && period.endMs < paidUntilMs
  const nextMs = Math.min(futureMs ?? NEVER_MS, goesOn ? period.endMs : NEVER_MS)
  const standing = {
    ...{ planId, status, anchorMs, paidUntilMs },
    nextPlan: period === null ? null : followingOf(reading, planId, planOf, period),
    endsAtMs: endOf(reading, status, schedule),
    nextMs: nextMs === NEVER_MS ? null : nextMs,
  }
  return { subscription: { ...subscription, ...standing }, period, plans: isDue ? plans : null }
}

const NEVER_MS = Number.POSITIVE_INFINITY

/** One of which no paid period has begun. */
function unpaidStanding(
  subscription: Subscription,
  { planId, status, asOfMs }: Reading,
  nowMs: number,
  nextMs: number | null,
): Standing {
  const endsAtMs = status === 'canceled' ? (asOfMs ?? nowMs) : null
  const unpaid = { planId, nextPlan: null, paidUntilMs: null, endsAtMs, nextMs }
  const next = { ...subscription, ...unpaid, status: status ?? 'active' }
  return { subscription: next, period: null, plans: null }
}

type Schedule = {
  readonly anchorMs: number
  readonly paidUntilMs: number
  /** The latest period that was paid, or is a trial, and has begun. */
  readonly last: Payment
}

/**
 * Where the periods begin. A payment that begins at an anniversary goes on, as does a short one;
 * any other begins anew, and so does whatever follows a trial.
 */
export function scheduleOf(payments: readonly Payment[], nowMs: number): Schedule | null {
  let schedule = null as Schedule | null
  for (const payment of payments) {
    const { periodStartMs, periodEndMs } = payment
    if (periodStartMs > nowMs) break
    if (payment.reason === 'update') {
      if (schedule === null) continue
      const paidUntilMs = Math.max(schedule.paidUntilMs, periodEndMs)
      schedule = { ...schedule, paidUntilMs }
      continue
    }
    const before = schedule
    const isShort = periodEndMs - periodStartMs < SHORT_MS && payment.amountPaid > 0
    const goesOn =
      before !== null &&
      before.last.amountPaid > 0 &&
      (isShort || isAnniversary(before.anchorMs, periodStartMs))
    schedule = {
      anchorMs: goesOn ? before.anchorMs : periodStartMs,
      paidUntilMs: Math.max(goesOn ? before.paidUntilMs : 0, periodEndMs),
      last: payment,
    }
  }
  return schedule
}

/** The paid period that an instant lies in; null: none. */
export function periodOn({ anchorMs, paidUntilMs, last }: Schedule, atMs: number): Period | null {
  if (atMs < anchorMs || atMs >= paidUntilMs) return null
  const month = monthAt(anchorMs, atMs)
  const isStub = paidUntilMs - month.startMs < SLACK_MS && month.startMs > last.periodStartMs
  if (isStub) return { ...monthAt(anchorMs, month.startMs - 1), endMs: paidUntilMs }
  const overMs = paidUntilMs - month.endMs
  const isNear = overMs > 0 && overMs < SLACK_MS
  // a trial ends with its last day
  const isCut = last.amountPaid === 0 && overMs < 0
  return isNear || isCut ? { ...month, endMs: paidUntilMs } : month
}

/**
 * The plans of a period. At its beginning the one that was paid for last, or the one that the
 * provider named by then if that has fewer credits: rises count when they are paid, falls from the
 * next period after they were told. What is paid for within the period follows.
 */
function plansOf(period: Period | null, known: Known, planOf: PlanOf, nowMs: number): Plans {
  const { reading, payments } = known
  const startMs = period?.startMs ?? nowMs
  const until = payments.filter(({ periodStartMs }) => periodStartMs <= nowMs)
  const isLater = ({ periodStartMs, reason }: Payment) =>
    periodStartMs > startMs || (periodStartMs === startMs && reason === 'update')
  const first = until.findLast((payment) => !isLater(payment)) ?? until[0]
  const later = until.filter(isLater)
  const told = planOf(reading.planId)
  const paid = first ? planOfPayment(first, planOf) : told
  const isTold = reading.planSinceMs !== null && reading.planSinceMs <= startMs
  const isFall = isTold && told.monthlyCredits < paid.monthlyCredits
  const isFresh = first === undefined || first.periodStartMs === startMs
  return {
    first: isFall && !isFresh ? told : paid,
    later: later
      .filter((payment) => payment !== first)
      .map((payment) => ({
        plan: planOfPayment(payment, planOf),
        fromMs: payment.periodStartMs,
      })),
  }
}

/** A trial without credits is of the plan's tier all the same. */
function planOfPayment({ planId, amountPaid }: Payment, planOf: PlanOf): PlanTerms {
  const plan = planOf(planId)
  return amountPaid > 0 || plan.trialCredits ? plan : { ...plan, monthlyCredits: 0 }
}

/** The plan that counts from the next period on, when the provider names one with fewer credits. */
function followingOf(
  { planId, asOfMs }: Reading,
  current: string,
  planOf: PlanOf,
  { endMs }: Period,
): Subscription['nextPlan'] {
  const isFall = planOf(planId).monthlyCredits < planOf(current).monthlyCredits
  return asOfMs !== null && isFall ? { planId, atMs: endMs } : null
}

/** Of trial and paid the payments tell; of all else the provider. */
function statusOf({ status }: Reading, { last }: Schedule): Status {
  if (status !== null && !OPEN.has(status)) return status
  return last.amountPaid > 0 ? 'active' : 'trialing'
}

/** A subscription that is to end does so with what is paid; one that was ended, with its period. */
function endOf(reading: Reading, status: Status, schedule: Schedule): number | null {
  if (status === 'canceled') {
    const endedMs = reading.asOfMs ?? schedule.paidUntilMs
    return periodOn(schedule, endedMs)?.endMs ?? Math.min(endedMs, schedule.paidUntilMs)
  }
  return reading.willEnd ? schedule.paidUntilMs : null
}
