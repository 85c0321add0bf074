import { z } from 'zod'
import { type AppError, ERRORS, type ErrorCode } from '../errors.js'

export const PROBLEM_TYPE = 'application/problem+json'

/** How long a client should wait before it tries again what a 503 refused. */
const RETRY_AFTER_SECONDS = 1

/** RFC 9457; a case may add fields of its own. */
export const problem = z
  .looseObject({
    type: z.string().meta({ description: 'Identifies the kind of problem.' }),
    title: z.string().meta({ description: 'The kind of problem in words.' }),
    status: z.int().min(400).max(599).meta({ description: 'The HTTP status.' }),
    detail: z.string().meta({ description: 'What is wrong with this call.' }),
    instance: z.string().meta({ description: 'The path that was called.' }),
    code: z.string().meta({ description: 'The kind of problem, stable, for programs.' }),
    requestId: z.string().meta({ description: 'The id of the call.' }),
    errors: z
      .array(z.object({ in: z.string(), path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'What is wrong where, when the input is not valid.' }),
  })
  .meta({ id: 'Problem', description: 'What went wrong (RFC 9457).' })

export type Problem = z.output<typeof problem>

/** Where and in which call a failure occurred. */
export type Place = { readonly instance: string; readonly requestId: string }

/** The stable identifier of a kind of problem. */
export const problemType = (code: string): string => `urn:creditd:problem:${code}`

/**
 * The RFC 9457 document of a failure: its own fields first, so that none can take the place of a
 * standard member.
 */
export function toProblem(error: AppError, place: Place): Problem {
  const [status, title] = ERRORS[error.code]
  return {
    ...error.fields,
    type: problemType(error.code),
    title,
    status,
    detail: error.message,
    code: error.code,
    ...place,
  }
}

/** Headers that a failure needs beside its document. */
export function problemHeaders(error: AppError): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE }
  if (error.status === 401) headers['www-authenticate'] = 'Bearer realm="creditd"'
  const { allow, retryAfterSeconds = RETRY_AFTER_SECONDS } = error.fields
  if (error.status === 503 || error.status === 429)
    headers['retry-after'] = String(retryAfterSeconds)
  if (error.status === 405 && Array.isArray(allow)) headers.allow = allow.join(', ')
  return headers
}

const AMOUNT_FAULT = 'Must be a whole number of credits from 1 to 9007199254740991'

const EXAMPLES: Partial<Record<ErrorCode, { detail: string; fields?: Record<string, unknown> }>> = {
  invalid_request: {
    detail: `body amount: ${AMOUNT_FAULT}`,
    fields: {
      errors: [
        {
          in: 'body',
          path: 'amount',
          message: AMOUNT_FAULT,
        },
      ],
    },
  },
  unauthenticated: { detail: 'Send Authorization: Bearer <key>' },
  forbidden: {
    detail: 'The key lacks the scope credits:write',
    fields: { requiredScopes: ['credits:write'] },
  },
  insufficient_credits: {
    detail: '10 credits are required, 3 are available',
    fields: { required: 10, available: 3 },
  },
  membership_required: {
    detail: 'The action requires the tier pro',
    fields: { required: 'pro', current: 'free' },
  },
  refund_exceeds_charge: {
    detail: '4 credits of the charge can still be refunded',
    fields: { refundable: 4 },
  },
  missing_variable: {
    detail: 'The formula needs the variable tokens',
    fields: { variable: 'tokens' },
  },
  rate_limited: {
    detail: 'The policy api allows 100 calls in 60 seconds',
    fields: { policy: 'api', limit: 100, windowSeconds: 60, retryAfterSeconds: 12 },
  },
  events_pruned: {
    detail: 'Events up to position 812 are no longer kept; those after 17 are asked for',
    fields: { after: 17, prunedThrough: 812 },
  },
  hold_not_active: { detail: 'The hold is released', fields: { holdStatus: 'released' } },
}

/** A problem of this kind as it may look, for the documentation. */
export function problemExample(code: ErrorCode): Problem {
  const [status, title] = ERRORS[code]
  const { detail = title, fields = {} } = EXAMPLES[code] ?? {}
  const place = { instance: '/v1/accounts/user-42', requestId: 'k3x9-1f' }
  return { ...fields, type: problemType(code), title, status, detail, code, ...place }
}
