import type { ErrorCode } from '../errors.js'

/** What may keep a call from taking or reserving credits, by amount or by the price list. */
export const spendingErrors = [
  'account_not_found',
  'action_not_found',
  'insufficient_credits',
  'membership_required',
  'account_frozen',
  'account_closed',
  'missing_variable',
  'formula_error',
  'limit_exceeded',
] as const satisfies readonly ErrorCode[]
