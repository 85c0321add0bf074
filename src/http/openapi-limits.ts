import type { OpenAPIV3_1 } from 'openapi-types'
import { SYSTEM_HEADERS } from './system-headers.js'

type Header = OpenAPIV3_1.HeaderObject
type Parameter = OpenAPIV3_1.ParameterObject

const text = (description: string, example: string): Header => ({
  description,
  schema: { type: 'string' },
  example,
})
const whole = (description: string, example: number): Header => ({
  description,
  schema: { type: 'integer', minimum: 0 },
  example,
})

/** Components of every reply that was counted, by the names of their headers. */
export const LIMIT_HEADERS: Readonly<Record<string, readonly [component: string, Header]>> = {
  'RateLimit-Policy': [
    'RateLimitPolicy',
    text('What was counted, and what it allows: `q` calls in `w` seconds.', '"api";q=100;w=60'),
  ],
  RateLimit: ['RateLimit', text('Where that stands: `r` left, `t` seconds.', '"api";r=99;t=60')],
  'X-RateLimit-Limit': ['LimitMax', whole('Calls allowed by the tightest of the limits.', 100)],
  'X-RateLimit-Remaining': ['LimitRemaining', whole('Calls left of it.', 99)],
  'X-RateLimit-Reset': ['LimitReset', whole('Seconds from now until it allows more.', 60)],
}

export const RETRY_AFTER: Header = whole('Seconds to wait before another try.', 12)

export const ON_BEHALF_OF: Parameter = {
  name: 'On-Behalf-Of',
  in: 'header',
  required: false,
  description:
    'The account for which an API key calls: the call is then held to the rate limits of that ' +
    'user. Sessions are refused with it.',
  schema: { type: 'string', minLength: 1, maxLength: 128 },
  example: 'user-42',
}

export const headerComponents: Readonly<Record<string, Header>> = {
  ...Object.fromEntries(Object.values(LIMIT_HEADERS)),
  ...Object.fromEntries(Object.values(SYSTEM_HEADERS)),
  RetryAfter: RETRY_AFTER,
}

/** The headers of a reply, as references to their components. */
const refsOf = (
  headers: Readonly<Record<string, readonly [component: string, Header]>>,
): Readonly<Record<string, { $ref: string }>> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, [component]]) => [
      name,
      { $ref: `#/components/headers/${component}` },
    ]),
  )

/** The headers of a counted reply, and of one that has to do with credits. */
export const limitHeaders = refsOf(LIMIT_HEADERS)
export const systemHeaders = refsOf(SYSTEM_HEADERS)
