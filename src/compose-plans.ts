import type { Core } from './compose.js'
import type { SubscriptionFact, SubscriptionPaidFact, TakeFact } from './payment-facts.js'
import { createAllocate } from './plans/allocate.js'
import { createTakeFact } from './plans/facts.js'
import { createFinish } from './plans/finish.js'
import { createPlanStore } from './plans/plan-store.js'
import { createRollover, type RolloverOf } from './plans/rollover.js'
import type { PlanRoutesDeps } from './plans/routes.js'
import { createPlans } from './plans/service.js'
import type { SubscriptionRoutesDeps } from './plans/subscription-routes.js'
import { createSubscriptions } from './plans/subscriptions.js'

export type ComposePlansDeps = {
  /** The account that gets what was paid for an account: a user whom a guest has become. */
  readonly payeeOf: (accountId: string) => Promise<string>
}

export type ComposedPlans = Omit<PlanRoutesDeps & SubscriptionRoutesDeps, 'once'> & {
  readonly takeFact: TakeFact<SubscriptionFact | SubscriptionPaidFact>
  /** What rolls over, of the plan of an account, or with null of all plans that are offered. */
  readonly rolloverOf: RolloverOf
}

/** An operator's command has no jobs that would run. */
export type PlansCore = Pick<Core, 'db' | 'ledger' | 'log' | 'now'> & {
  readonly jobs: Pick<Core['jobs'], 'add'>
}

/** Plans, subscriptions and what providers say of them; and the job that allocates. */
export const composePlans = (core: PlansCore, { payeeOf }: ComposePlansDeps): ComposedPlans => {
  const { db, ledger, now, jobs, log } = core
  const store = createPlanStore(db)
  const finish = createFinish({
    db,
    ledger,
    payeeOf,
    now,
    onFault: (error, { accountId, planId }) =>
      log.warn({ err: error, accountId, planId }, 'an allocation will be tried again'),
  })
  const allocate = createAllocate({ db, finish, now })
  jobs.add({
    name: 'plans.allocate',
    cron: '*/15 * * * * *',
    timeoutMs: 10 * 60_000,
    once: 'all',
    async run(signal) {
      const { subscriptions, allocated, failed } = await allocate.run(signal)
      return `${subscriptions} subscriptions due, ${allocated} allocated, ${failed} failed`
    },
  })
  return {
    plans: createPlans({ store, hasTier: hasTierIn(db) }),
    subscriptions: createSubscriptions({ db, ledger, plans: store, finish, now }),
    takeFact: createTakeFact({ db, ledger, plans: store, finish, payeeOf, now, log }),
    rolloverOf: createRollover({ db, now }),
  }
}

/** The tiers are the price list's; here they are only asked for. */
const hasTierIn =
  ({ reader }: Core['db']) =>
  async (tier: string): Promise<boolean> => {
    const text = 'select 1 from tiers where id = $1'
    return (await reader.query({ text, values: [tier] })).rowCount === 1
  }
