import { z } from 'zod'
import {
  POLICIES,
  POLICY_NAMES,
  type Policies,
  type PolicyName,
  parseRate,
  RATE_FORM,
} from './policies.js'
import { flag, setting } from './setting.js'

const limit = (fallback: string, about: string) =>
  setting(
    z
      .string()
      .refine((text) => parseRate(text) !== null, { error: RATE_FORM })
      .default(fallback),
    `${about}: how many in how long, s, m or h`,
  )

/** What can be set of the rate limits; part of the settings. */
export const LIMIT_SETTINGS = {
  RATE_LIMIT_PAYMENT: limit(POLICIES.payment, 'Purchases begun, by account'),
  RATE_LIMIT_WEBHOOK: limit(POLICIES.webhook, 'Webhooks that can not be verified, by source'),
  RATE_LIMIT_API: limit(POLICIES.api, 'Calls with no policy of their own'),
  RATE_LIMIT_AUTH: limit(POLICIES.auth, 'Failed credentials and new guest sessions, by address'),
  RATE_LIMIT_SEARCH: limit(POLICIES.search, 'Lists and history'),
  RATE_LIMIT_BOOKING: limit(POLICIES.booking, 'Holds made by a session'),
  RATE_LIMIT_GUEST_CHECKOUT: limit(POLICIES.guestCheckout, 'Purchases begun by guests'),
  RATE_LIMIT_API_KEYS: setting(
    flag().default(false),
    'Hold API keys to the policies too, each key by itself',
  ),
  RATE_LIMIT_WEBHOOK_VERIFIED: setting(
    flag().default(false),
    'Count webhooks whose signature is right too',
  ),
} as const

/** By which setting each policy is overridden. */
const SETTING_OF = {
  payment: 'RATE_LIMIT_PAYMENT',
  webhook: 'RATE_LIMIT_WEBHOOK',
  api: 'RATE_LIMIT_API',
  auth: 'RATE_LIMIT_AUTH',
  search: 'RATE_LIMIT_SEARCH',
  booking: 'RATE_LIMIT_BOOKING',
  guestCheckout: 'RATE_LIMIT_GUEST_CHECKOUT',
} as const satisfies Record<PolicyName, keyof typeof LIMIT_SETTINGS>

export type LimitConfig = {
  readonly policies: Policies
  /** Whether API keys are held to the policies too. */
  readonly coverApiKeys: boolean
  /** Whether webhooks count although their signature is right. */
  readonly coverVerifiedWebhooks: boolean
}

type LimitSettings = {
  readonly [K in keyof typeof LIMIT_SETTINGS]: z.output<(typeof LIMIT_SETTINGS)[K]['schema']>
}

export const limitsOf = (settings: LimitSettings): LimitConfig => ({
  policies: Object.fromEntries(
    POLICY_NAMES.map((name) => [name, parseRate(settings[SETTING_OF[name]])]),
  ) as Policies,
  coverApiKeys: settings.RATE_LIMIT_API_KEYS,
  coverVerifiedWebhooks: settings.RATE_LIMIT_WEBHOOK_VERIFIED,
})
