import { AppError, type ErrorCode, hasCode } from '../../errors.js'
import type { AccountStatus, Priced } from '../../ledger/model.js'
import { evaluate, type Variables } from './formula.js'
import type { Price, PricedAction, PriceList } from './price-list.js'

/** What is to be priced. */
export type PriceRequest = {
  readonly action: string
  /** How many, a whole number from 1. */
  readonly quantity: number
  /** Fixed prices, and formulas that mention none of them, take no notice. */
  readonly variables: Variables
}

/** Whether somebody may use an action now, and at what price: `GET …/access`. */
export type AccessView = {
  readonly action: string
  readonly allowed: boolean
  /** Why it is not allowed, or why there is no price; null when there is nothing to say. */
  readonly reason: AccessReason | null
  readonly requiredTier: string | null
  readonly currentTier: string | null
  readonly price: number | null
  readonly available: number
}

/** Why there is no access, or no price. */
export const ACCESS_REASONS = [
  'account_frozen',
  'account_closed',
  'membership_required',
  'missing_variable',
  'formula_error',
  'limit_exceeded',
  'insufficient_credits',
] as const satisfies readonly ErrorCode[]
export type AccessReason = (typeof ACCESS_REASONS)[number]

export type Holder = {
  /** The tier that counts now; null: no membership. */
  readonly tier: string | null
  readonly available: number
  readonly status: AccountStatus
}

/** The level of whoever has no membership, or one that the list of tiers does not know. */
const NO_LEVEL = 0

/**
 * The price for a holder of `tier`. Throws AppError in this order: `action_not_found`,
 * `membership_required` (`required`, `current`), then `missing_variable`, `formula_error` or
 * `limit_exceeded`.
 */
export function quote(list: PriceList, request: PriceRequest, tier: string | null): Priced {
  const found = findAction(list, request.action)
  const { requiredTier } = found.price
  if (!isMember(list, requiredTier, tier)) {
    const message = `The action ${request.action} requires the tier ${requiredTier} or a higher one`
    throw new AppError('membership_required', message, { required: requiredTier, current: tier })
  }
  return { amount: amountOf(found, request, tier), detail: null }
}

/**
 * The price of a job that has been done: as `quote`, but a membership that ended meanwhile does
 * not stop its settlement.
 */
export function settlement(list: PriceList, request: PriceRequest, tier: string | null): Priced {
  return { amount: amountOf(findAction(list, request.action), request, tier), detail: null }
}

/**
 * What a charge would come to, in the order of its checks; throws `action_not_found`. Where only
 * a variable of the formula is missing, nothing speaks against the action yet: it is allowed, and
 * the price is null.
 */
export function accessOf(list: PriceList, request: PriceRequest, holder: Holder): AccessView {
  const { price } = findAction(list, request.action)
  const offer = offerFor(list, request, holder)
  return {
    action: request.action,
    allowed: offer.reason === null || offer.reason === 'missing_variable',
    ...offer,
    requiredTier: price.requiredTier,
    currentTier: holder.tier,
    available: holder.available,
  }
}

type Offer = Pick<AccessView, 'reason' | 'price'>

function offerFor(list: PriceList, request: PriceRequest, holder: Holder): Offer {
  if (holder.status !== 'active') return { reason: `account_${holder.status}`, price: null }
  try {
    const price = quote(list, request, holder.tier).amount
    return { reason: price <= holder.available ? null : 'insufficient_credits', price }
  } catch (error) {
    const reason = ACCESS_REASONS.find((code) => hasCode(error, code))
    if (reason === undefined) throw error
    return { reason, price: null }
  }
}

function findAction(list: PriceList, action: string): PricedAction {
  const found = list.actions.get(action)
  if (found) return found
  throw unknownAction(action)
}

export const unknownAction = (action: string): AppError =>
  new AppError('action_not_found', `The price list has no action ${action}`, { action })

function isMember(list: PriceList, required: string | null, tier: string | null): boolean {
  if (required === null) return true
  const needed = list.levels.get(required)
  // A tier that was deleted behind our back lets nobody in.
  if (needed === undefined) return false
  return (list.levels.get(tier ?? '') ?? NO_LEVEL) >= needed
}

function amountOf(found: PricedAction, request: PriceRequest, tier: string | null): number {
  const { price } = found
  const formula = found.formula()
  const amount = formula
    ? evaluate(formula, request.variables, request.quantity)
    : costFor(price, tier) * request.quantity
  // The product of two safe integers is never taken for a smaller one: rounding is monotonic.
  if (amount > Number.MAX_SAFE_INTEGER) {
    throw new AppError('limit_exceeded', 'The price would be above 9007199254740991 credits')
  }
  return Math.max(amount, price.minimum ?? 0)
}

function costFor({ cost, tierCosts }: Price, tier: string | null): number {
  const special = tier !== null && tierCosts && Object.hasOwn(tierCosts, tier)
  return (special ? tierCosts[tier] : undefined) ?? cost ?? 0
}
