import { z } from 'zod'
import { accountId, nextCursor, pageQuery, reason, text, timestamp, whole } from '../http/schema.js'
import { PROVIDER_NAMES } from '../payment-facts.js'
import { packageId } from './packages/schema.js'
import { PURCHASE_STATUSES } from './state.js'

export const purchaseId = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'Must be 1 to 64 of A-Z a-z 0-9 _ -')
  .meta({ description: 'The id of a purchase.', examples: ['pur_2b6f0c8e'] })

export const purchaseParams = z.object({ purchaseId })

const provider = z.enum(PROVIDER_NAMES).meta({
  description:
    'Who takes the payment; may be left out where one is configured. `manual`: whoever calls ' +
    '`confirm`.',
  examples: ['manual'],
})
const isHttpUrl = (url: string): boolean =>
  URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)
const successUrl = text(2_048)
  .refine(isHttpUrl, 'Must be a URL that begins with http:// or https://')
  .meta({
    description: 'Where the buyer comes back to after paying.',
    examples: ['https://shop.example/thanks'],
  })
const paymentIntentId = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'Must be 1 to 255 visible ASCII characters')

export const purchaseBody = z
  .strictObject({
    accountId: accountId.optional().meta({
      description: 'Whom the credits are for; a session may leave it out, it buys for itself.',
      examples: ['user-42'],
    }),
    packageId,
    provider: provider.optional(),
    successUrl: successUrl.optional(),
  })
  .meta({ examples: [{ accountId: 'user-42', packageId: 'pkg_starter', provider: 'manual' }] })
export type PurchaseBody = z.output<typeof purchaseBody>

export const confirmBody = z
  .strictObject({
    paymentIntentId: paymentIntentId.optional().meta({
      description:
        'Of a manual purchase: your reference of the payment, which pays for one purchase. Of ' +
        'others: the payment you expect.',
      examples: ['bank-2026-0042'],
    }),
  })
  .meta({ examples: [{ paymentIntentId: 'bank-2026-0042' }] })
export type ConfirmBody = z.output<typeof confirmBody>

export const refundBody = z
  .strictObject({
    amount: whole(1, Number.MAX_SAFE_INTEGER, 'minor units')
      .optional()
      .meta({
        description: "In the currency's minor units; all that is left without it.",
        examples: [250],
      }),
    reason: reason.optional(),
  })
  .meta({ examples: [{ amount: 250, reason: 'agreed with support' }] })
export type RefundBody = z.output<typeof refundBody>

const minorUnits = z.int().meta({ description: "In the currency's minor units.", examples: [500] })

export const purchase = z
  .object({
    purchaseId,
    accountId,
    packageId,
    provider: z.enum(PROVIDER_NAMES),
    status: z.enum(PURCHASE_STATUSES).meta({
      description:
        '`pending` until the payment is heard of, `processing` until it has gone through and its ' +
        'credits are there, then `completed`. `refunded` when all of it went back; `disputed` ' +
        'while the bank has it back, or for good.',
    }),
    checkoutUrl: z
      .string()
      .optional()
      .meta({
        description: 'Where the buyer pays, while that can be done.',
        examples: ['https://checkout.example/c/1'],
      }),
    paymentIntentId: z.string().optional().meta({ description: "The provider's payment." }),
    credits: z.int().meta({ description: 'What it brings.', examples: [100] }),
    amount: minorUnits,
    currency: z.string().meta({ examples: ['USD'] }),
    refundedAmount: minorUnits,
    creditsClawedBack: z.int().meta({
      description: 'Credits that refunds and disputes took back; what was spent became debt.',
      examples: [0],
    }),
    grantId: z
      .string()
      .optional()
      .meta({
        description: 'The grant of its credits.',
        examples: ['gr_Mzp1c2VyLTQy'],
      }),
    problem: z
      .string()
      .optional()
      .meta({
        description: 'Why its credits could not be moved as they should be; it is tried again.',
        examples: ['account_closed: The account is closed'],
      }),
    createdAt: timestamp,
    updatedAt: timestamp,
    completedAt: timestamp.optional(),
    expiresAt: timestamp.optional().meta({ description: 'After this it can not be paid.' }),
  })
  .meta({
    id: 'Purchase',
    description: 'A package that somebody buys, with the price it had then.',
    examples: [
      {
        purchaseId: 'pur_2b6f0c8e',
        accountId: 'user-42',
        packageId: 'pkg_starter',
        provider: 'manual',
        status: 'completed',
        paymentIntentId: 'bank-2026-0042',
        credits: 100,
        amount: 500,
        currency: 'USD',
        refundedAmount: 0,
        creditsClawedBack: 0,
        grantId: 'gr_Mzp1c2VyLTQy',
        createdAt: '2026-11-21T09:00:00.000Z',
        updatedAt: '2026-11-21T09:05:00.000Z',
        completedAt: '2026-11-21T09:05:00.000Z',
      },
    ],
  })
export type PurchaseView = z.output<typeof purchase>

export const purchaseQuery = pageQuery

export const purchases = z.object({ purchases: z.array(purchase), nextCursor })
