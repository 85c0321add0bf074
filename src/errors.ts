/** Every error a client can meet, by its stable code, with its HTTP status and its title. */
export const ERRORS = {
  invalid_request: [400, 'The request is not valid'],
  invalid_signature: [400, 'The signature is not valid'],
  unauthenticated: [401, 'A valid credential is required'],
  insufficient_credits: [402, 'Not enough credits'],
  forbidden: [403, 'The credential does not allow this'],
  membership_required: [403, 'A higher membership tier is required'],
  purchases_disabled: [403, 'Purchases are turned off'],
  not_found: [404, 'Nothing is here'],
  account_not_found: [404, 'No such account'],
  transaction_not_found: [404, 'No such transaction'],
  hold_not_found: [404, 'No such hold'],
  grant_not_found: [404, 'No such grant'],
  action_not_found: [404, 'No such action in the price list'],
  api_key_not_found: [404, 'No such API key'],
  session_not_found: [404, 'No such session'],
  package_not_found: [404, 'No such package'],
  purchase_not_found: [404, 'No such purchase'],
  plan_not_found: [404, 'No such plan'],
  subscription_not_found: [404, 'No subscription'],
  webhook_endpoint_not_found: [404, 'No such webhook endpoint'],
  method_not_allowed: [405, 'The method is not allowed here'],
  request_timeout: [408, 'The request took too long to arrive'],
  hold_not_active: [409, 'The hold is no longer active'],
  account_frozen: [409, 'The account is frozen'],
  account_closed: [409, 'The account is closed'],
  grant_revoked: [409, 'The grant has been revoked'],
  last_admin_key: [409, 'It is the last key that can make another'],
  tier_in_use: [409, 'A price names the tier'],
  already_converted: [409, 'The guest has become another user'],
  package_inactive: [409, 'The package is not for sale'],
  plan_inactive: [409, 'The plan is not offered'],
  purchase_state: [409, 'The state of the purchase does not allow this'],
  provider_refused: [409, 'The payment provider refuses this'],
  secret_not_replayed: [409, 'A reply with a secret is given once'],
  events_pruned: [410, 'The events are no longer kept'],
  payload_too_large: [413, 'The body is too large'],
  unsupported_media_type: [415, 'The content type is not supported'],
  expectation_failed: [417, 'The expectation can not be met'],
  idempotency_key_reused: [422, 'The idempotency key was used for another request'],
  refund_exceeds_charge: [422, 'The refund exceeds what is left of the charge'],
  formula_error: [422, 'The price formula can not be evaluated'],
  missing_variable: [422, 'A variable of the price formula is missing'],
  limit_exceeded: [422, 'A limit would be exceeded'],
  rate_limited: [429, 'Too many requests'],
  headers_too_large: [431, 'The headers are too large'],
  internal: [500, 'Something went wrong here'],
  overloaded: [503, 'Too much work is waiting'],
  outcome_unknown: [503, 'The outcome is not known yet'],
  maintenance: [503, 'Writes are stopped for maintenance'],
  database_unavailable: [503, 'The database can not be reached'],
  provider_unavailable: [503, 'The payment provider can not be reached'],
  sessions_unavailable: [503, 'Sessions can not be looked up for now'],
} as const satisfies Record<string, readonly [number, string]>

export type ErrorCode = keyof typeof ERRORS

/** What a problem document carries beyond its fixed members, such as `required`, `available`. */
export type ErrorFields = Readonly<Record<string, unknown>>

/**
 * An expected failure. `message` becomes the `detail` of the problem document and must be fit for
 * the client; what only the log may see goes into `cause`.
 */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly fields: ErrorFields

  constructor(code: ErrorCode, message: string, fields: ErrorFields = {}, cause?: unknown) {
    // A refusal is an answer and not a fault: its stack, most of its cost, tells nobody anything.
    const limit = Error.stackTraceLimit
    if (isRefusal(code)) Error.stackTraceLimit = 0
    super(message, cause === undefined ? undefined : { cause })
    Error.stackTraceLimit = limit
    this.name = 'AppError'
    this.code = code
    this.fields = fields
  }

  get status(): number {
    return ERRORS[this.code][0]
  }
}

const WITHOUT_STACK: ReadonlySet<ErrorCode> = new Set([
  'overloaded',
  'maintenance',
  'sessions_unavailable',
])

/** Those of the server's side come by the thousand, just when there is no time for a stack. */
const isRefusal = (code: ErrorCode): boolean => ERRORS[code][0] < 500 || WITHOUT_STACK.has(code)

/** One text for whoever may not know of it and where there is none: nobody learns which. */
export const accountNotFound = (accountId: string): AppError =>
  new AppError('account_not_found', `No account ${accountId} has been opened`)

/** Whether the failure is one of ours with this code. */
export const hasCode = (error: unknown, code: ErrorCode): error is AppError =>
  error instanceof AppError && error.code === code
