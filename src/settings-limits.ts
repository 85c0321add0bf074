import { z } from 'zod'
import { POLICIES, type PolicyName, parseRate, RATE_FORM } from './policies.js'

const limit = <const D extends string>(fallback: D, about: string) => ({
  schema: z
    .string()
    .refine((text) => parseRate(text) !== null, { error: RATE_FORM })
    .default(fallback),
  about: `${about}: how many in how long, s, m or h`,
  isSecret: false,
  otherwise: null,
})

const flag = (about: string) => ({
  schema: z
    .enum(['true', 'false', '1', '0'], { error: 'must be true or false' })
    .transform((text) => text === 'true' || text === '1')
    .default(false),
  about,
  isSecret: false,
  otherwise: null,
})

/** What can be set of the rate limits; part of the settings. */
export const LIMIT_SETTINGS = {
  RATE_LIMIT_PAYMENT: limit(POLICIES.payment, 'Purchases begun, by account'),
  RATE_LIMIT_WEBHOOK: limit(POLICIES.webhook, 'Webhooks that can not be verified, by source'),
  RATE_LIMIT_API: limit(POLICIES.api, 'Calls with no policy of their own'),
  RATE_LIMIT_AUTH: limit(POLICIES.auth, 'Failed credentials and new guest sessions, by address'),
  RATE_LIMIT_SEARCH: limit(POLICIES.search, 'Lists and history'),
  RATE_LIMIT_BOOKING: limit(POLICIES.booking, 'Holds made by a session'),
  RATE_LIMIT_GUEST_CHECKOUT: limit(POLICIES.guestCheckout, 'Purchases begun by guests'),
  RATE_LIMIT_API_KEYS: flag('Hold API keys to the policies too, each key by itself'),
  RATE_LIMIT_WEBHOOK_VERIFIED: flag('Count webhooks whose signature is right too'),
} as const

/** By which setting each policy is overridden. */
export const SETTING_OF = {
  payment: 'RATE_LIMIT_PAYMENT',
  webhook: 'RATE_LIMIT_WEBHOOK',
  api: 'RATE_LIMIT_API',
  auth: 'RATE_LIMIT_AUTH',
  search: 'RATE_LIMIT_SEARCH',
  booking: 'RATE_LIMIT_BOOKING',
  guestCheckout: 'RATE_LIMIT_GUEST_CHECKOUT',
} as const satisfies Record<PolicyName, keyof typeof LIMIT_SETTINGS>
