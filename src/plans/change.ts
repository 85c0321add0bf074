import type { Transaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { invalidField } from '../http/validator.js'
import { addAllocations, givenIn } from './allocation-store.js'
import type { Plan } from './plan-store.js'
import { type Link, lockBilled, putReading, readBilled } from './provider-store.js'
import { riseTo } from './rules.js'
import { dueOf, settle } from './settle.js'
import { isOver, type Subscription } from './standing.js'
import type { SubscriptionBody } from './subscription-schema.js'
import {
  freshSubscription,
  lock,
  lockOrMake,
  readSubscription,
  save,
} from './subscription-store.js'

export type Asked = {
  readonly accountId: string
  readonly plan: Plan
  readonly body: SubscriptionBody
  readonly nowMs: number
}

/**
 * Subscribes an account to a plan, in the caller's transaction; what is to be allocated is left
 * open there. Throws as `Subscriptions.put` says.
 */
export async function subscribe(tx: Transaction, asked: Asked): Promise<Subscription> {
  const { accountId, plan, body, nowMs } = asked
  const link = linkOf(body)
  if (link !== null) await claim(tx, link, asked)
  const fresh = freshSubscription({ accountId, planId: plan.id, link, nowMs })
  const { subscription: found, isNew } = await lockOrMake(tx, fresh)
  const isGoing = !isNew && !isOver(found, nowMs)
  if (!plan.active && !(isGoing && found.planId === plan.id)) {
    throw new AppError('plan_inactive', `The plan ${plan.id} is not offered`)
  }
  if (link !== null) return settled(tx, { ...found, planId: plan.id, nextPlan: null, link }, nowMs)
  if (!isGoing) return settled(tx, { ...fresh, createdAtMs: found.createdAtMs }, nowMs)
  if (found.link === null) return goOn(tx, found, asked)
  return takeOver(tx, { ...found, link: found.link }, asked)
}

/** Ends the subscription of an account with its period, in the caller's transaction. */
export async function cancel(
  tx: Transaction,
  accountId: string,
  nowMs: number,
): Promise<Subscription> {
  // in the order in which facts lock them
  const seen = await readSubscription(tx, accountId)
  if (seen?.link) await lockBilled(tx, seen.link)
  const found = await lock(tx, accountId)
  if (found === null) throw new Error('a subscription is gone')
  if (found.status === 'canceled') return found
  if (found.link !== null) {
    const billed = await readBilled(tx, found.link)
    if (billed === null) throw new Error('what a provider bills is gone')
    const isPaid = found.paidUntilMs !== null && found.paidUntilMs > nowMs
    const status = isPaid ? (billed.status ?? 'active') : 'canceled'
    const reading = { ...billed, status, willEnd: true, asOfMs: nowMs }
    await putReading(tx, found.link, reading, nowMs)
    return settled(tx, found, nowMs)
  }
  const going = await settled(tx, found, nowMs)
  // what goes on without a provider is looked at again when its period ends
  const end = { status: 'canceled', nextPlan: null, endsAtMs: going.nextMs, nextMs: null } as const
  const ended = { ...going, ...end, updatedAtMs: nowMs }
  await save(tx, [ended], nowMs)
  return ended
}

const linkOf = ({ provider, providerSubscriptionId }: SubscriptionBody): Link | null =>
  typeof provider === 'string' && providerSubscriptionId !== undefined
    ? { provider, subscriptionId: providerSubscriptionId }
    : null

/** Makes a provider's subscription known as this account's. */
async function claim(tx: Transaction, link: Link, { accountId, plan, nowMs }: Asked) {
  const unheard = { accountId, planId: plan.id, status: null, willEnd: false, asOfMs: null }
  const billed = await readBilled(tx, link)
  if (billed === null) {
    await putReading(tx, link, unheard, nowMs)
    return
  }
  if (billed.accountId !== accountId) {
    throw invalidField('providerSubscriptionId', 'Belongs to another account')
  }
  if (billed.planId === plan.id) return
  const message = `${link.provider} bills the plan ${billed.planId}: change it there`
  throw new AppError('provider_refused', message)
}

async function settled(
  tx: Transaction,
  subscription: Subscription,
  nowMs: number,
): Promise<Subscription> {
  await settle(tx, [subscription], { nowMs })
  const written = await lock(tx, subscription.accountId)
  if (written === null) throw new Error('a subscription is gone')
  return written
}

/** Resumes it, or changes its plan. */
async function goOn(
  tx: Transaction,
  found: Subscription,
  { plan, nowMs }: Asked,
): Promise<Subscription> {
  const { standings, allocations, planOf } = await dueOf(tx, [found], { nowMs })
  await addAllocations(tx, allocations, nowMs)
  const [standing] = standings
  const period = standing?.period
  if (!standing || !period) throw new Error('a subscription that goes on has no period')
  const { planId: currentId, accountId } = standing.subscription
  const goesOn = { status: 'active', endsAtMs: null, nextMs: period.endMs } as const
  const going: Subscription = { ...standing.subscription, ...goesOn, updatedAtMs: nowMs }
  const current = planOf(currentId)
  const isFall = plan.monthlyCredits < current.monthlyCredits
  if (plan.id !== currentId && !isFall) {
    const given = (await givenIn(tx, [{ accountId, period }])).get(accountId) ?? []
    const rise = riseTo(accountId, period, { from: current, to: plan, atMs: nowMs }, given)
    await addAllocations(tx, [rise], nowMs)
  }
  const next: Subscription = isFall
    ? { ...going, nextPlan: { planId: plan.id, atMs: period.endMs } }
    : { ...going, planId: plan.id, nextPlan: null }
  await save(tx, [next], nowMs)
  return next
}

/** What a provider bills is changed there, unless it is taken out of its hands. */
async function takeOver(
  tx: Transaction,
  found: Subscription & { readonly link: Link },
  asked: Asked,
): Promise<Subscription> {
  const { accountId, plan, body, nowMs } = asked
  const { link, status, paidUntilMs } = found
  const isBilled = status !== 'canceled' && (paidUntilMs === null || paidUntilMs > nowMs)
  if (isBilled && body.provider === undefined) {
    if (plan.id === found.planId) return settled(tx, found, nowMs)
    const message =
      `${link.provider} bills the plan ${found.planId}: change it there, or take it over with ` +
      '"provider": null'
    throw new AppError('provider_refused', message)
  }
  const isPaid = paidUntilMs !== null && paidUntilMs > nowMs
  if (!isPaid)
    return settled(tx, freshSubscription({ accountId, planId: plan.id, link: null, nowMs }), nowMs)
  // the same periods go on, so that nothing is given twice
  const own = { ...found, link: null, paidUntilMs: null, endsAtMs: null, status: 'active' } as const
  return goOn(tx, own, asked)
}
