import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Database } from '../db/open.js'
import { inTransaction, type Transaction } from '../db/transaction.js'
import { AppError, accountNotFound } from '../errors.js'
import { isoOf } from '../http/schema.js'
import type { Ledger } from '../ledger/ledger.js'
import { openOfAccount } from './allocation-store.js'
import { cancel, subscribe } from './change.js'
import type { Finish } from './finish.js'
import type { PlanStore } from './plan-store.js'
import { planNotFound } from './service.js'
import { dueOf } from './settle.js'
import { isOver, type Subscription } from './standing.js'
import type { SubscriptionBody, SubscriptionView } from './subscription-schema.js'
import { readSubscription } from './subscription-store.js'

const DEADLINE_MS = 5_000

export type Subscriptions = {
  /**
   * Subscribes an account to a plan, resumes what was canceled, or changes the plan: at once with
   * the difference for the rest of the period where it has as many credits or more, else from the
   * next period on. Throws `account_not_found`, `account_closed`, `plan_not_found`,
   * `plan_inactive`, `provider_refused` for what a provider bills otherwise, and what the ledger
   * refuses: then the credits follow later. Safe to repeat.
   */
  put(accountId: string, body: SubscriptionBody): Promise<SubscriptionView>
  /** Throws `account_not_found`, `subscription_not_found`. */
  get(accountId: string): Promise<SubscriptionView>
  /**
   * Ends it with the period: credits and tier stay until then. Throws `account_not_found`,
   * `subscription_not_found`. Safe to repeat.
   */
  cancel(accountId: string): Promise<SubscriptionView>
}

export type SubscriptionsDeps = {
  readonly db: Database
  readonly ledger: Pick<Ledger, 'read'>
  readonly plans: Pick<PlanStore, 'get'>
  readonly finish: Finish
  /** Ms since the epoch. */
  readonly now: () => number
}

export function createSubscriptions(deps: SubscriptionsDeps): Subscriptions {
  const { db, ledger, plans, finish, now } = deps

  async function requireAccount(accountId: string): Promise<void> {
    const state = await ledger.read(accountId)
    if (state === null) throw accountNotFound(accountId)
    if (state.status === 'closed') throw new AppError('account_closed', 'The account is closed')
  }

  /** Decides in one transaction what is to be allocated, then has it written to the ledger. */
  async function change(
    accountId: string,
    act: (tx: Transaction) => Promise<Subscription>,
  ): Promise<SubscriptionView> {
    const options = { deadlineMs: DEADLINE_MS, isRepeatable: true }
    const subscription = await inTransaction(db, act, options)
    const { closed, failure } = await finish(await openOfAccount(db.orm, accountId))
    if (failure !== null) throw failure
    if (closed.length > 0) throw new AppError('account_closed', 'The account is closed')
    return viewOf(db.orm, subscription, now())
  }

  return {
    async put(accountId, body) {
      const plan = await plans.get(body.planId)
      if (plan === null) throw planNotFound(body.planId)
      await requireAccount(accountId)
      return change(accountId, (tx) => subscribe(tx, { accountId, plan, body, nowMs: now() }))
    },

    async get(accountId) {
      const subscription = await readSubscription(db.readOrm, accountId)
      if (subscription !== null) return viewOf(db.readOrm, subscription, now())
      if ((await ledger.read(accountId)) === null) throw accountNotFound(accountId)
      throw subscriptionNotFound(accountId)
    },

    async cancel(accountId) {
      const found = await readSubscription(db.readOrm, accountId)
      if (found === null || isOver(found, now())) {
        await requireAccount(accountId)
        throw subscriptionNotFound(accountId)
      }
      return change(accountId, (tx) => cancel(tx, accountId, now()))
    },
  }
}

const subscriptionNotFound = (accountId: string): AppError =>
  new AppError('subscription_not_found', `Account ${accountId} has no subscription`)

/** As it is now, whether the job has come round to it or not. */
async function viewOf(
  on: NodePgDatabase,
  stored: Subscription,
  nowMs: number,
): Promise<SubscriptionView> {
  const { standings, planOf } = await dueOf(on, [stored], { nowMs })
  const { subscription = stored, period = null } = standings[0] ?? {}
  const { accountId, planId, nextPlan, status, link, createdAtMs, updatedAtMs } = subscription
  return {
    accountId,
    planId,
    tier: planOf(planId).tier,
    nextPlanId: nextPlan?.planId ?? null,
    status,
    provider: link === null || link.provider === 'manual' ? null : link.provider,
    providerSubscriptionId: link?.subscriptionId ?? null,
    periodStart: isoOf(period?.startMs ?? null),
    periodEnd: isoOf(period?.endMs ?? null),
    paidUntil: isoOf(subscription.paidUntilMs),
    endsAt: isoOf(subscription.endsAtMs),
    createdAt: isoOf(createdAtMs),
    updatedAt: isoOf(updatedAtMs),
  }
}
