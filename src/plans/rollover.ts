import { and, eq } from 'drizzle-orm'
import type { Database } from '../db/open.js'
import { allPlans } from './plan-store.js'
import { finder } from './settle.js'
import { isOver } from './standing.js'
import { readSubscription } from './subscription-store.js'
import { plans } from './tables.js'

/** Whether unused credits roll over, and how many at most; null: none do. */
export type Rollover = { readonly rollover: boolean; readonly rolloverMax: number | null }

/** Of the plan of an account, or with null of all plans that are offered. */
export type RolloverOf = (accountId: string | null) => Promise<Rollover>

const NONE: Rollover = { rollover: false, rolloverMax: null }

export type RolloverDeps = {
  readonly db: Pick<Database, 'readOrm'>
  /** Ms since the epoch. */
  readonly now: () => number
}

/** Tells what rolls over, for whoever shows it. */
export function createRollover({ db: { readOrm }, now }: RolloverDeps): RolloverOf {
  return async (accountId) => {
    if (accountId === null) {
      const rolling = await readOrm
        .select({ max: plans.rolloverMax })
        .from(plans)
        .where(and(eq(plans.active, true), eq(plans.rolloverEnabled, true)))
      return { ...NONE, rollover: rolling.length > 0 }
    }
    const subscription = await readSubscription(readOrm, accountId)
    if (subscription === null || isOver(subscription, now())) return NONE
    const plan = finder(await allPlans(readOrm))(subscription.planId)
    return plan.rolloverEnabled ? { rollover: true, rolloverMax: plan.rolloverMax } : NONE
  }
}
