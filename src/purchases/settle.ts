import { AppError, hasCode } from '../errors.js'
import type { Ledger } from '../ledger/ledger.js'
import type { Operation } from '../ledger/model.js'
import type { OutboxEvent } from '../ledger/outbox.js'
import { DEFAULT_PRIORITY } from '../ledger/rules.js'
import { completedEvent, refundedEvent, standingEvents } from './events.js'
import { changeFreeze } from './freezing.js'
import { factOf } from './ledger-request.js'
import { isPaymentRefused } from './refused-payments.js'
import type { ReversalStore } from './reversals.js'
import { nextStep, type Standing, type Step, type StepRules, standingOf } from './state.js'
import type { Purchase, PurchaseChange, PurchaseStore } from './store.js'

/** A purchase takes some five steps, and others may take them at the same time. */
const MAX_STEPS = 100
/** A failed attempt waits 2^n seconds, at most this long. */
const MAX_RETRY_MS = 3_600_000
const MAX_PROBLEM_LENGTH = 500
/** After this long without news of its payment, the provider is asked. */
export const ASK_AFTER_MS = 48 * 3_600_000

export type SettleDeps = {
  readonly store: Pick<PurchaseStore, 'get' | 'update' | 'isFrozenForAnother'>
  readonly reversals: Pick<ReversalStore, 'of'>
  readonly ledger: Pick<Ledger, 'submit' | 'read'>
  readonly rules: StepRules
  /** Who is given the credits that were bought for an account. */
  readonly payeeOf: (accountId: string) => Promise<string>
  /** Ms since the epoch. */
  readonly now: () => number
}

/**
 * Brings the ledger to where a purchase's payment is: grants, claws back, freezes; gives the
 * purchase as it is then. What the ledger refuses for good, such as credits for a closed account,
 * becomes the `problem` of the purchase, and is tried again by the job. Safe to repeat, at once
 * and anywhere: what a crash leaves is finished by whoever comes next. Throws what may pass.
 */
export type Settle = (purchaseId: string) => Promise<Purchase>

export function createSettle(deps: SettleDeps): Settle {
  const { store, reversals, rules } = deps
  return async (purchaseId) => {
    for (let steps = 0; steps < MAX_STEPS; steps += 1) {
      const purchase = await store.get(purchaseId)
      if (purchase === null) throw new Error(`the purchase ${purchaseId} is gone`)
      const { provider, paymentId } = purchase
      const known = paymentId === null ? [] : await reversals.of({ provider, paymentId })
      const standing = shownOf(purchase, standingOf(purchase, known))
      const settled = await take(deps, { purchase, standing }, nextStep(purchase, standing, rules))
      if (settled !== null) return settled
    }
    throw new AppError('overloaded', 'The purchase is being changed by many at once; try again')
  }
}

/** What was paid and refused is there, and its credits are not. */
const shownOf = (purchase: Purchase, standing: Standing): Standing =>
  isPaymentRefused(purchase) ? { ...standing, status: 'processing' } : standing

type Seen = { readonly purchase: Purchase; readonly standing: Standing }

/** Null: look again, there may be more to do. */
async function take(deps: SettleDeps, seen: Seen, step: Step): Promise<Purchase | null> {
  if (step.kind === 'rest') return rest(deps, seen)
  try {
    await takeStep(deps, seen, step)
    return null
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error
    return giveUpFor(deps, seen, error)
  }
}

async function takeStep(
  deps: SettleDeps,
  seen: Seen,
  step: Exclude<Step, { kind: 'rest' }>,
): Promise<void> {
  const { purchase } = seen
  const { store } = deps
  switch (step.kind) {
    case 'begin_grant':
      await store.update(purchase, { grantedTo: await deps.payeeOf(purchase.accountId) })
      return
    case 'grant':
      return grant(deps, purchase, step.to)
    case 'begin_claw_back':
      await store.update(purchase, {
        clawBackStep: purchase.clawBackStep + 1,
        clawBackTarget: step.target,
        collectedFrom: await collectedFrom(deps, purchase),
        refundedAmount: seen.standing.refundedAmount,
      })
      return
    case 'claw_back':
    case 'collect':
      return clawBack(deps, seen, step)
    default:
      return changeFreeze(deps, purchase, step.kind)
  }
}

async function grant(deps: SettleDeps, purchase: Purchase, to: string): Promise<void> {
  const { ledger, store, payeeOf, now } = deps
  const { id, credits, accountId } = purchase
  try {
    const { row } = await ledger.submit({
      ...factOf(to, `purchase:${id}`),
      kind: 'grant',
      amount: credits,
      source: 'purchased',
      priority: DEFAULT_PRIORITY,
      expiresAtMs: null,
      reason: null,
      detail: { purchaseId: id },
      announce: completedEvent(purchase, to),
    })
    if (row === null) throw new Error('a grant wrote no row')
    await store.update(purchase, { grantSeq: row.seq, completedAt: new Date(now()), problem: null })
  } catch (error) {
    if (!hasCode(error, 'account_closed')) throw error
    // closed for good, and had it been granted before, that would have been the answer: so these
    // credits can still go to whoever the account has become
    await store.update(purchase, { grantedTo: null })
    if ((await payeeOf(accountId)) === to) throw error
  }
}

/**
 * Noted with the step, which so belongs to one account for good: a guest may stay open for its
 * holds when its credits are with the user already.
 */
async function collectedFrom(
  { payeeOf }: SettleDeps,
  { collectedFrom: known, grantedTo, accountId }: Purchase,
): Promise<string | null> {
  if (known !== null) return known
  const payee = await payeeOf(accountId)
  return payee === grantedTo ? null : payee
}

type TakingBack = Extract<Step, { kind: 'claw_back' | 'collect' }>

async function clawBack(deps: SettleDeps, seen: Seen, step: TakingBack): Promise<void> {
  const { ledger, store, payeeOf } = deps
  const { purchase } = seen
  try {
    await ledger.submit(takingBack(seen, step))
  } catch (error) {
    if (!hasCode(error, 'account_closed')) throw error
    // closed for good, and had it been done before, that would have been the answer: so it follows
    // the credits to whoever the account has become
    const to = await payeeOf(purchase.accountId)
    if (to === step.from) throw error
    await store.update(purchase, { collectedFrom: to })
    return
  }
  await store.update(purchase, {
    clawBackDoneStep: step.step,
    clawBackDoneTarget: step.target,
    announcedRefund: purchase.refundedAmount,
    problem: null,
  })
}

/** Each step is done under a key of its own, so a late worker does no harm. */
function takingBack({ purchase, standing }: Seen, step: TakingBack): Operation {
  const { id, refundedAmount, announcedRefund } = purchase
  const detail = { purchaseId: id }
  const isTold = refundedAmount === announcedRefund
  const request = {
    ...factOf(step.from, `clawback:${id}:${step.step}`),
    announce: isTold ? null : refundedEvent(purchase, standing, step.from),
    reason: null,
    detail,
  }
  if (step.kind === 'claw_back') {
    return { ...request, kind: 'claw_back', grantSeq: step.grantSeq, target: step.target }
  }
  if (step.change > 0) return { ...request, kind: 'collect', amount: step.change }
  const lot = { source: 'purchased', priority: DEFAULT_PRIORITY, expiresAtMs: null } as const
  return { ...request, kind: 'grant', ...lot, amount: -step.change, reason: 'reinstated' }
}

/** All is as it should be: what the purchase shows is brought up to date. */
async function rest({ store, now }: SettleDeps, { purchase, standing }: Seen) {
  const { status, refundedAmount, reversedAmount } = standing
  const isRefused = isPaymentRefused(purchase)
  const isOpen = (status === 'pending' || status === 'processing') && !isRefused
  const change: PurchaseChange = {
    ...{ status, refundedAmount, reversedAmount, announcedRefund: refundedAmount },
    ...{ problem: isRefused ? purchase.problem : null, attempts: 0 },
    nextAttemptAt: isOpen ? askAt(purchase) : null,
  }
  if (isUnchanged(purchase, change)) return purchase
  return updateOr(store, purchase, change, standingEvents(purchase, standing, now()))
}

/** A provider that tells nothing is asked, some day; nobody could be asked of a manual one. */
export const askAt = ({ provider, createdAt, nextAttemptAt }: Purchase): Date | null => {
  if (provider === 'manual') return null
  const firstMs = createdAt.getTime() + ASK_AFTER_MS
  return new Date(Math.max(firstMs, nextAttemptAt?.getTime() ?? 0))
}

const isUnchanged = (purchase: Purchase, change: PurchaseChange): boolean =>
  Object.entries(change).every(([name, value]) => {
    const known = purchase[name as keyof Purchase]
    return known instanceof Date && value instanceof Date
      ? known.getTime() === value.getTime()
      : known === value
  })

/** The ledger will not, and asking it again at once changes nothing: somebody must see it. */
async function giveUpFor(
  { store, now }: SettleDeps,
  { purchase: { id }, standing }: Seen,
  error: AppError,
): Promise<Purchase | null> {
  const purchase = await store.get(id)
  if (purchase === null) return null
  const { status, refundedAmount, reversedAmount } = standing
  const delayMs = Math.min(1_000 * 2 ** Math.min(purchase.attempts, 20), MAX_RETRY_MS)
  const isGone = error.code === 'account_closed' && purchase.grantSeq !== null
  return updateOr(store, purchase, {
    ...{ status, refundedAmount, reversedAmount },
    problem: `${error.code}: ${error.message}`.slice(0, MAX_PROBLEM_LENGTH),
    attempts: Math.min(purchase.attempts + 1, 1_000),
    // from a closed account nothing can ever be taken back
    nextAttemptAt: isGone ? null : new Date(now() + delayMs),
  })
}

async function updateOr(
  store: SettleDeps['store'],
  purchase: Purchase,
  change: PurchaseChange,
  events: readonly OutboxEvent[] = [],
): Promise<Purchase | null> {
  const updated = await store.update(purchase, change, events)
  return updated === 'taken' ? null : updated
}
