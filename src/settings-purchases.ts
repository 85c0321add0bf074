import { z } from 'zod'
import { flag, httpUrl, setting } from './setting.js'

/** Exactly as written: anything else, and nothing, leaves the feature as it is by default. */
const exactly = (word: string) =>
  z
    .string()
    .optional()
    .transform((text) => text === word)

const secret = z.string().regex(/^[\x21-\x7e]{1,512}$/, {
  error: 'must be 1 to 512 visible ASCII characters',
})

/** What is sold, and through whom. */
export const PURCHASE_SETTINGS = {
  CREDIT_SYSTEM_VERSION: setting(
    z
      .string()
      .optional()
      .transform((text) => (text === 'v2' ? 'v2' : 'v1')),
    'v2 is v2, everything else is v1; v2 sells no packages',
  ),
  ENABLE_CREDIT_PURCHASES: setting(
    exactly('true'),
    'Only true turns purchases on, in v1; payments that were begun are credited either way',
  ),
  ROLLBACK_MODE: setting(exactly('true'), 'true forces v1, and is told by /health and headers'),
  STRIPE_SECRET_KEY: setting(secret.optional(), 'Turns on Stripe, with its webhook secret', {
    isSecret: true,
    otherwise: 'nothing is sold through Stripe',
  }),
  STRIPE_WEBHOOK_SECRET: setting(
    secret.optional(),
    'The signing secret of the endpoint /v1/webhooks/stripe; two with a comma while it is rolled',
    { isSecret: true, otherwise: 'events of Stripe are refused' },
  ),
  STRIPE_API_URL: setting(httpUrl().optional(), 'Where the API of Stripe is', {
    otherwise: 'https://api.stripe.com',
  }),
  CREEM_API_KEY: setting(secret.optional(), 'Turns on Creem, with its webhook secret', {
    isSecret: true,
    otherwise: 'nothing is sold through Creem',
  }),
  CREEM_WEBHOOK_SECRET: setting(
    secret.optional(),
    'The signing secret of the endpoint /v1/webhooks/creem; two with a comma while it is rolled',
    { isSecret: true, otherwise: 'events of Creem are refused' },
  ),
  CREEM_API_URL: setting(httpUrl().optional(), 'Where the API of Creem is', {
    otherwise: 'https://api.creem.io, or https://test-api.creem.io for a key of its test mode',
  }),
  DISPUTE_FREEZES_ACCOUNT: setting(
    flag().default(false),
    'Freeze the account while a dispute of its payment is open',
  ),
} as const
