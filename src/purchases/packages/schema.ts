import { z } from 'zod'
import { credits, nextCursor, pageQuery, text, timestamp, whole } from '../../http/schema.js'

export const packageId = z
  .string()
  .regex(/^[a-z0-9_-]{1,64}$/, 'Must be 1 to 64 of a-z 0-9 _ -')
  .meta({ description: 'The id of a package.', examples: ['pkg_starter'] })

export const packageParams = z.object({ packageId })

const name = text(200).meta({ description: 'What the buyer sees.', examples: ['Starter'] })
const price = whole(0, Number.MAX_SAFE_INTEGER, 'minor units').meta({
  description: "In the currency's minor units, before tax: 500 are 5.00 USD.",
  examples: [500],
})
/** Stored in capitals. */
const currency = z
  .string()
  .regex(/^[A-Za-z]{3}$/, 'Must be the three letters of ISO 4217, such as USD')
  .meta({ description: 'ISO 4217, in any letter case.', examples: ['USD'] })
const providerId = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'Must be 1 to 255 visible ASCII characters')
const stripePriceId = providerId.meta({
  description: "Stripe's price of it; without one, Stripe is told name and price.",
  examples: ['price_1Q2w3E'],
})
const creemPriceId = providerId.meta({
  description: "Creem's product of it; Creem sells nothing without one.",
  examples: ['prod_4r5T6y'],
})
const description = text(1_000).meta({ examples: ['100 credits'] })
const popular = z.boolean().meta({ description: 'To be pointed out.', examples: [false] })
const active = z.boolean().meta({ description: 'Whether it is for sale.', examples: [true] })
const sortOrder = whole(-1_000_000, 1_000_000).meta({
  description: 'Smaller comes first; then by id.',
  examples: [10],
})

export const packageBody = z
  .strictObject({
    name: name.optional(),
    credits: credits.optional(),
    price: price.optional(),
    currency: currency.optional(),
    stripePriceId: stripePriceId.nullable().optional(),
    creemPriceId: creemPriceId.nullable().optional(),
    description: description.nullable().optional(),
    popular: popular.optional(),
    active: active.optional(),
    sortOrder: sortOrder.optional(),
  })
  .meta({ examples: [{ name: 'Starter', credits: 100, price: 500, currency: 'USD' }] })
export type PackageBody = z.output<typeof packageBody>

export const creditPackage = z
  .object({
    id: packageId,
    name: z.string(),
    credits: z.int().meta({ description: 'The credits it brings.' }),
    price: z.int().meta({ description: "In the currency's minor units." }),
    currency: z.string(),
    stripePriceId: z.string().nullable(),
    creemPriceId: z.string().nullable(),
    description: z.string().nullable(),
    popular: z.boolean(),
    active: z.boolean(),
    sortOrder: z.int(),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({
    id: 'Package',
    description: 'Credits that are sold together at a price.',
    examples: [
      {
        id: 'pkg_starter',
        name: 'Starter',
        credits: 100,
        price: 500,
        currency: 'USD',
        stripePriceId: null,
        creemPriceId: null,
        description: '100 credits',
        popular: false,
        active: true,
        sortOrder: 10,
        createdAt: '2026-11-21T09:00:00.000Z',
        updatedAt: '2026-11-21T09:00:00.000Z',
      },
    ],
  })
export type PackageView = z.output<typeof creditPackage>

export const packageQuery = pageQuery.extend({
  all: z
    .enum(['true', 'false'])
    .optional()
    .meta({
      description: '`true`: also those that are not for sale. For keys with the scope `admin`.',
      examples: ['false'],
    }),
})

export const packages = z.object({ packages: z.array(creditPackage), nextCursor })
