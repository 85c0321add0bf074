import type { BaseLogger } from 'pino'
import type { Database } from '../db/open.js'
import { inTransaction, type Transaction } from '../db/transaction.js'
import type { Ledger } from '../ledger/ledger.js'
import type {
  FactOutcome,
  SubscriptionFact,
  SubscriptionPaidFact,
  TakeFact,
} from '../payment-facts.js'
import { openOfAccount } from './allocation-store.js'
import { credit } from './billed.js'
import type { Finish } from './finish.js'
import { isBegun, isChange } from './paid-changes.js'
import type { Plan, PlanStore } from './plan-store.js'
import {
  type Billed,
  keyOf,
  knownOf,
  putPayment,
  putReading,
  readBilled,
} from './provider-store.js'
import type { Payment } from './standing.js'

const DEADLINE_MS = 5_000

export type FactsDeps = {
  readonly db: Database
  readonly ledger: Pick<Ledger, 'read'>
  readonly plans: Pick<PlanStore, 'findByPrice'>
  readonly finish: Finish
  /** The account that gets what was paid for an account: a user whom a guest has become. */
  readonly payeeOf: (accountId: string) => Promise<string>
  /** Ms since the epoch. */
  readonly now: () => number
  readonly log: Pick<BaseLogger, 'info'>
}

type Fact = SubscriptionFact | SubscriptionPaidFact
/** A fact of an account and a plan of ours. */
type Placed = { readonly accountId: string; readonly plan: Plan }

/**
 * Takes in what a provider says of a subscription. Facts may come twice, late and in any order:
 * they are kept, and how the subscription stands is made anew from all of them. A paid period
 * brings the allocation of the month that contains now; nothing else brings any.
 */
export function createTakeFact(deps: FactsDeps): TakeFact<Fact> {
  const { db, finish, now, log } = deps
  return async (fact) => {
    const placed = await place(deps, fact)
    if ('kind' in placed) return placed
    const options = { deadlineMs: DEADLINE_MS, isRepeatable: true }
    const nowMs = now()
    const outcome = await inTransaction(db, (tx) => take(tx, fact, placed, nowMs), options)
    if (outcome.kind === 'parked') return outcome
    if (outcome.isNews && isPast(fact, nowMs)) {
      const { provider, subscriptionId, paymentId } = fact
      const about = { provider, subscriptionId, paymentId, accountId: placed.accountId }
      log.info(about, 'a paid period was over before it was heard of, and brings nothing')
    }
    const { closed, failure } = await finish(await openOfAccount(db.orm, placed.accountId))
    if (failure !== null) throw failure
    if (closed.length > 0) return refused(`the account ${placed.accountId} is closed`)
    return APPLIED
  }
}

const isPast = (fact: Fact, nowMs: number): fact is SubscriptionPaidFact =>
  fact.kind === 'subscription_paid' && fact.periodEndMs <= nowMs

/** Whose it is and which plan it is for, or why that can not be told. */
async function place(deps: FactsDeps, fact: Fact): Promise<Placed | FactOutcome> {
  const { db, ledger, plans, payeeOf } = deps
  const [plan, billed] = await Promise.all([
    plans.findByPrice(fact.provider, fact.priceIds),
    readBilled(db.orm, fact),
  ])
  const named = fact.accountId ?? billed?.accountId ?? null
  if (named === null) {
    return plan === null
      ? { kind: 'ignored', reason: 'it names neither an account nor a plan' }
      : parked(`whose the subscription ${fact.subscriptionId} is, is not known yet`)
  }
  if (plan === null) {
    if (billed !== null) await keepStatus(deps, fact, billed)
    return refused(`no plan has the price ${fact.priceIds.join(' or ') || '(none)'}`)
  }
  if (fact.kind === 'subscription_paid' && fact.periodEndMs <= fact.periodStartMs) {
    return refused('the period that was paid ends before it begins')
  }
  const accountId = await payeeOf(named)
  const state = await ledger.read(accountId)
  if (state === null) return parked(`the account ${accountId} has not been opened`)
  if (state.status === 'closed') return refused(`the account ${accountId} is closed`)
  return { accountId, plan }
}

/** Whatever it costs now, a subscription that ended or is not paid for must not go on. */
async function keepStatus({ db, now }: FactsDeps, fact: Fact, billed: Billed): Promise<void> {
  if (fact.kind !== 'subscription') return
  const { status, willEnd, asOfMs } = fact
  const options = { deadlineMs: DEADLINE_MS, isRepeatable: true }
  await inTransaction(
    db,
    async (tx) => {
      const reading = { ...billed, status, willEnd, asOfMs }
      const isNews = await putReading(tx, fact, reading, now())
      if (isNews) await credit(tx, { ...billed, link: fact, nowMs: now(), isPaidNow: false })
    },
    options,
  )
}

async function take(
  tx: Transaction,
  fact: Fact,
  { accountId, plan }: Placed,
  nowMs: number,
): Promise<FactOutcome & { readonly isNews?: boolean }> {
  const isNews =
    fact.kind === 'subscription'
      ? await takeReading(tx, fact, { accountId, plan }, nowMs)
      : await takePayment(tx, fact, { accountId, plan }, nowMs)
  if (isNews === 'parked') {
    return parked(`what ${fact.subscriptionId} was before the change is not known yet`)
  }
  if (!isNews) return APPLIED
  const isPaidNow =
    fact.kind === 'subscription_paid' && fact.periodStartMs <= nowMs && nowMs < fact.periodEndMs
  await credit(tx, { accountId, planId: plan.id, link: fact, nowMs, isPaidNow })
  return { ...APPLIED, isNews }
}

/** A trial is told by a reading alone, and counts like a payment of nothing. */
async function takeReading(
  tx: Transaction,
  fact: SubscriptionFact,
  { accountId, plan }: Placed,
  nowMs: number,
): Promise<boolean> {
  const { status, willEnd, asOfMs, periodStartMs, periodEndMs } = fact
  const reading = { accountId, planId: plan.id, status, willEnd, asOfMs }
  const isNews = await putReading(tx, fact, reading, nowMs)
  const isTrial = status === 'trialing' && periodStartMs !== null && periodEndMs !== null
  if (!isTrial || periodEndMs <= periodStartMs) return isNews
  const trial: Payment = {
    paymentId: `trial:${fact.subscriptionId}:${periodStartMs}`,
    planId: plan.id,
    reason: 'create',
    amountPaid: 0,
    periodStartMs,
    periodEndMs,
    paidAtMs: null,
  }
  return (await putPayment(tx, fact, trial, nowMs)) || isNews
}

/** The payment of a change waits for that of what was changed: it is a part of it. */
async function takePayment(
  tx: Transaction,
  fact: SubscriptionPaidFact,
  { accountId, plan }: Placed,
  nowMs: number,
): Promise<boolean | 'parked'> {
  const unheard = { accountId, planId: plan.id, status: null, willEnd: false, asOfMs: null }
  await putReading(tx, fact, unheard, nowMs)
  const payment = { ...fact, planId: plan.id }
  const known = (await knownOf(tx, [fact])).get(keyOf(fact))?.payments ?? []
  if (isChange(payment, known) && !isBegun(payment, known)) return 'parked'
  return putPayment(tx, fact, payment, nowMs)
}

const APPLIED: FactOutcome = { kind: 'applied' }
const parked = (reason: string): FactOutcome => ({ kind: 'parked', reason })
const refused = (reason: string): FactOutcome => ({ kind: 'refused', reason })
