import type { Period } from './calendar.js'

/** What allocations need to know of a plan. */
export type PlanTerms = {
  readonly id: string
  readonly tier: string
  readonly monthlyCredits: number
  readonly rolloverEnabled: boolean
  readonly rolloverMax: number
  readonly bonusPercentage: number
  readonly trialCredits: boolean
}

/** What an account is to get of a plan in a period; once for each plan and period. */
export type Allocation = {
  readonly accountId: string
  readonly planId: string
  readonly period: Period
  readonly tier: string
  readonly credits: number
  readonly bonus: number
  /** How many unused credits of the period before come on top at most; 0: none. */
  readonly rolloverMax: number
}

/** A plan that counts from an instant within the period on. */
export type PlanFrom = { readonly plan: PlanTerms; readonly fromMs: number }

/** What an account was given in a period, without what rolled over. */
export type Given = { readonly planId: string; readonly credits: number }

/** All of a plan, for a whole period. */
export const wholeOf = (plan: PlanTerms, accountId: string, period: Period): Allocation => ({
  accountId,
  planId: plan.id,
  period,
  tier: plan.tier,
  credits: plan.monthlyCredits,
  bonus: bonusOf(plan, plan.monthlyCredits),
  rolloverMax: plan.rolloverEnabled ? plan.rolloverMax : 0,
})

/** The whole credits that come on top of `credits`, rounded down. */
export const bonusOf = ({ bonusPercentage }: PlanTerms, credits: number): number =>
  Number((BigInt(credits) * BigInt(bonusPercentage)) / 100n)

/** The plan a period begins with, and those that follow within it, in the order of time. */
export type Plans = { readonly first: PlanTerms; readonly later: readonly PlanFrom[] }

/** Of the plans that follow, those that count: none has fewer credits than the one before it. */
export const risesOf = ({ first, later }: Plans): readonly PlanFrom[] => {
  let highest = first.monthlyCredits
  return later.filter(({ plan: { monthlyCredits } }) => {
    const isRise = monthlyCredits >= highest
    if (isRise) highest = monthlyCredits
    return isRise
  })
}

/**
 * The credits that a period is worth which begins with a plan and in which others follow: the first
 * one in full, and for each that has more than the one before it, the difference for the rest of
 * the period; rounded down once. Never more than the best plan's full allocation.
 */
export function worthOf(plans: Plans, { startMs, endMs }: Period): number {
  let credits = plans.first.monthlyCredits
  let moreMs = 0n
  for (const { plan, fromMs } of risesOf(plans)) {
    const restMs = Math.min(Math.max(endMs - fromMs, 0), endMs - startMs)
    moreMs += BigInt(plan.monthlyCredits - credits) * BigInt(restMs)
    credits = plan.monthlyCredits
  }
  return plans.first.monthlyCredits + Number(moreMs / BigInt(endMs - startMs))
}

/**
 * What is still to be given in a period: what it is worth, less what was given already, in whatever
 * order that came. The first plan gets its full allocation unless anything was given before; each
 * rise gets one, which may be of 0 credits: then it is for the tier alone.
 */
export function missing(
  accountId: string,
  period: Period,
  plans: Plans,
  given: readonly Given[],
): Allocation[] {
  const rises = risesOf(plans)
  const tier = (rises.at(-1)?.plan ?? plans.first).tier
  const found = given.length > 0 ? [] : [{ ...wholeOf(plans.first, accountId, period), tier }]
  const known = new Set([...given, ...found].map(({ planId }) => planId))
  let sum = [...given, ...found].reduce((total, { credits }) => total + credits, 0)
  const late = rises.filter(({ plan }, index) => {
    const isLatest = rises.findLastIndex((other) => other.plan.id === plan.id) === index
    return isLatest && !known.has(plan.id)
  })
  for (const [index, { plan, fromMs }] of late.entries()) {
    // the last one takes what those that were given before it and follow it left over
    const isLast = index === late.length - 1
    const later = isLast ? rises : rises.filter((other) => other.fromMs <= fromMs)
    const credits = Math.max(worthOf({ first: plans.first, later }, period) - sum, 0)
    const part = { tier, credits, bonus: bonusOf(plan, credits), rolloverMax: 0 }
    found.push({ ...wholeOf(plan, accountId, period), ...part })
    sum += credits
  }
  return found
}

/**
 * What a change to a plan with at least as many credits brings within a period: the difference for
 * its rest; with what was given before, never more than the new plan's full allocation.
 */
export function riseTo(
  accountId: string,
  period: Period,
  { from, to, atMs }: { readonly from: PlanTerms; readonly to: PlanTerms; readonly atMs: number },
  given: readonly Pick<Given, 'credits'>[],
): Allocation {
  const worth = worthOf({ first: from, later: [{ plan: to, fromMs: atMs }] }, period)
  const sum = given.reduce((total, { credits }) => total + credits, 0)
  const room = Math.max(to.monthlyCredits - sum, 0)
  const credits = Math.min(worth - from.monthlyCredits, room)
  return {
    ...wholeOf(to, accountId, period),
    ...{ credits, bonus: bonusOf(to, credits), rolloverMax: 0 },
  }
}
