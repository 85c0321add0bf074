import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Transaction } from '../db/transaction.js'
import { addAllocations, givenIn, type OpenAllocation } from './allocation-store.js'
import type { Period } from './calendar.js'
import { allPlans, type Plan } from './plan-store.js'
import { keyOf, knownOf } from './provider-store.js'
import { type Allocation, missing } from './rules.js'
import {
  billedStanding,
  ownStanding,
  type PlanOf,
  type Standing,
  type Subscription,
} from './standing.js'
import { save } from './subscription-store.js'

export type SettleOptions = {
  readonly nowMs: number
  /** A payment for now has just come: it counts whatever else the provider says. */
  readonly isPaidNow?: boolean
}

export type Due = {
  readonly standings: readonly Standing[]
  readonly allocations: readonly Allocation[]
  readonly planOf: PlanOf
}

/** How subscriptions stand, and what is due to them; writes nothing. */
export async function dueOf(
  on: NodePgDatabase,
  subscriptions: readonly Subscription[],
  { nowMs, isPaidNow = false }: SettleOptions,
): Promise<Due> {
  const planOf = finder(await allPlans(on))
  const links = subscriptions.flatMap(({ link }) => link ?? [])
  const known = await knownOf(on, links)
  const standings = subscriptions.map((subscription) => {
    const billed = subscription.link && known.get(keyOf(subscription.link))
    return billed
      ? billedStanding(subscription, { ...billed, isPaidNow }, planOf, nowMs)
      : ownStanding(subscription, planOf, nowMs)
  })
  const places = standings.flatMap(placeOf)
  const given = await givenIn(on, places)
  const allocations = places.flatMap(({ accountId, period, plans }) =>
    missing(accountId, period, plans, given.get(accountId) ?? []),
  )
  return { standings, allocations, planOf }
}

/** Writes how locked subscriptions stand, and gives what is to be allocated now. */
export async function settle(
  tx: Transaction,
  subscriptions: readonly Subscription[],
  options: SettleOptions,
): Promise<OpenAllocation[]> {
  const { standings, allocations } = await dueOf(tx, subscriptions, options)
  const open = await addAllocations(tx, allocations, options.nowMs)
  const changed = standings.map(({ subscription }) => subscription)
  await save(tx, changed, options.nowMs)
  return open
}

export const finder =
  (plans: ReadonlyMap<string, Plan>): PlanOf =>
  (planId) => {
    const plan = plans.get(planId)
    // plans are never deleted, and foreign keys hold them
    if (!plan) throw new Error(`there is no plan ${planId}`)
    return plan
  }

type Place = Pick<Subscription, 'accountId'> & {
  readonly period: Period
  readonly plans: NonNullable<Standing['plans']>
}

const placeOf = ({ subscription: { accountId }, period, plans }: Standing): Place[] =>
  period === null || plans === null ? [] : [{ accountId, period, plans }]
