import { composePlans } from '../../src/compose-plans.js'
import type { Job } from '../../src/jobs/runner.js'
import type {
  FactOutcome,
  SubscriptionFact,
  SubscriptionPaidFact,
  TakeFact,
} from '../../src/payment-facts.js'
import type { TestContext } from '../helpers/database.js'
import { openScene, putPlan, type Scene } from './kit.js'

export type Fact = SubscriptionFact | SubscriptionPaidFact
export type Place = Scene & {
  take: TakeFact<Fact>
  payees: Map<string, string>
  /** What it told the log, but for warnings. */
  logged: unknown[][]
  run(): Promise<unknown>
}

export const DAY_MS = 86_400_000

/** The service, and its plans as those that read providers meet them. */
export const openPlace = async (t: TestContext): Promise<Place> => {
  const scene = await openScene(t)
  const payees = new Map<string, string>()
  const logged: unknown[][] = []
  const info = (...told: unknown[]) => void logged.push(told)
  const log = Object.assign(Object.create(scene.core.log), { info })
  let job: Job | undefined
  const add = (added: Job) => {
    job = added
  }
  const { takeFact } = composePlans(
    { ...scene.core, log, jobs: { ...scene.core.jobs, add } },
    { payeeOf: async (id) => payees.get(id) ?? id },
  )
  await putPlan(scene, 'basic', {
    tier: 'basic',
    monthlyCredits: 100,
    stripePriceId: 'price_basic',
  })
  await putPlan(scene, 'plus', { tier: 'pro', monthlyCredits: 300, stripePriceId: 'price_plus' })
  await putPlan(scene, 'top', { tier: 'premium', monthlyCredits: 900, creemPriceId: 'prod_top' })
  await putPlan(scene, 'try', {
    ...{ tier: 'pro', monthlyCredits: 50, trialCredits: true, stripePriceId: 'price_try' },
  })
  return {
    ...scene,
    take: takeFact,
    payees,
    logged,
    run: async () => job?.run(new AbortController().signal),
  }
}

export const read = (more: Partial<SubscriptionFact>): SubscriptionFact => ({
  kind: 'subscription',
  provider: 'stripe',
  subscriptionId: 'sub_1',
  accountId: 'ada',
  priceIds: ['price_basic'],
  status: 'active',
  willEnd: false,
  periodStartMs: null,
  periodEndMs: null,
  asOfMs: 1,
  ...more,
})

export const paid = (
  more: Partial<SubscriptionPaidFact> & { periodStartMs: number; periodEndMs: number },
): SubscriptionPaidFact => ({
  kind: 'subscription_paid',
  provider: 'stripe',
  subscriptionId: 'sub_1',
  accountId: 'ada',
  priceIds: ['price_basic'],
  paymentId: `in_${more.periodStartMs}`,
  reason: 'create',
  amountPaid: 1000,
  paidAtMs: null,
  ...more,
})

export const APPLIED: FactOutcome = { kind: 'applied' }

export const viewOf = async ({ call }: Scene, accountId = 'ada') =>
  (await call('GET', `/v1/accounts/${accountId}/subscription`)).body

/** A paid month that began some days ago. */
export const monthAround = (nowMs: number) => {
  const periodStartMs = nowMs - 10 * DAY_MS
  const end = new Date(periodStartMs)
  end.setUTCMonth(end.getUTCMonth() + 1)
  return { periodStartMs, periodEndMs: end.getTime() }
}
