import { z } from 'zod'
import {
  accountId,
  actionName,
  amount,
  nextCursor,
  pageQuery,
  rangeOf,
  text,
  timestamp,
  whole,
  wholeInQuery,
} from '../../http/schema.js'
import { MAX_FORMULA_CHARACTERS, MAX_VARIABLES, QUANTITY } from './formula.js'
import { numbersByName } from './numbers.js'
import { ACCESS_REASONS } from './quote.js'

export const MAX_QUANTITY = 1_000_000
const MAX_TIERS = 100
const MAX_LEVEL = 1_000
const TIER_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const TIER_FAULT = 'Must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit'
const VARIABLE_FAULT = 'Must be named by 1 to 64 of A-Z a-z 0-9 _ and not begin with a digit'
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/

/** The name of a membership tier. */
export const tierId = z
  .string()
  .regex(TIER_ID, TIER_FAULT)
  .meta({ description: 'The name of a membership tier.', examples: ['pro'] })

/** How many things a charge, a hold or a question about access is for. */
export const quantity = whole(1, MAX_QUANTITY).meta({
  description: 'How many, 1 to 1000000.',
  examples: [1],
})

/**
 * Numbers for the formula of a price, each taken digit by digit. The object itself goes on,
 * untouched; what the formula does not mention does no harm.
 */
export const variables = numbersByName({
  max: MAX_VARIABLES,
  faultOf(name, value) {
    if (!VARIABLE_NAME.test(name)) return VARIABLE_FAULT
    if (name === QUANTITY) return 'Is a field of the request and no variable'
    return Number.isFinite(value) ? null : 'Must be a finite number'
  },
}).meta({
  type: 'object',
  additionalProperties: { type: 'number' },
  description: 'Numbers that the formula of the price asks for, by name; at most 50.',
  examples: [{ tokens: 3500 }],
})

const cost = whole(0, Number.MAX_SAFE_INTEGER, 'credits').meta({
  description: 'Whole credits; 0 is free.',
  examples: [10],
})

const COST_FAULT = `Must be ${rangeOf(0, Number.MAX_SAFE_INTEGER, 'credits')}`

const tierCosts = numbersByName({
  max: MAX_TIERS,
  faultOf(name, value) {
    if (!TIER_ID.test(name)) return TIER_FAULT
    return cost.safeParse(value).success ? null : COST_FAULT
  },
}).meta({
  type: 'object',
  additionalProperties: { type: 'integer', minimum: 0 },
  description: 'What holders of exactly these tiers pay instead of `cost`.',
  examples: [{ pro: 8, premium: 5 }],
})

const formula = text(MAX_FORMULA_CHARACTERS).meta({
  description:
    'The price as an expression over variables, written `tokens` or `{tokens}`: `+ - * / %`, ' +
    'comparisons, `&& || !`, `a ? b : c`, `min`, `max`, `ceil`, `floor`, `round`, `abs`. It is ' +
    'worked out exactly, times `quantity` unless it mentions that itself, and rounded up to ' +
    'a whole credit once at the end. A negative result is an error.',
  examples: ['tokens * 0.001 + 10'],
})

const minimum = cost.meta({
  description: 'No request pays less than this, whatever its quantity.',
  examples: [1],
})
const requiredTier = tierId.meta({
  description: 'Only holders of this tier, or of one with a level as high, may use the action.',
  examples: ['pro'],
})
const description = text(500).meta({
  description: 'For people.',
  examples: ['One picture, 1024 by 1024'],
})

const terms = {
  cost: cost.optional(),
  tierCosts: tierCosts.optional(),
  formula: formula.optional(),
  minimum: minimum.optional(),
  requiredTier: requiredTier.optional(),
  description: description.optional(),
}

export const priceParams = z.object({ action: actionName })

export const priceBody = z
  .strictObject(terms)
  .superRefine((body, context) => {
    const hasCost = body.cost !== undefined
    if (hasCost === (body.formula !== undefined)) {
      const message = 'Exactly one of cost and formula is needed'
      context.addIssue({ code: 'custom', path: ['cost'], message })
    }
    if (body.tierCosts !== undefined && !hasCost) {
      const message = 'Goes with cost only'
      context.addIssue({ code: 'custom', path: ['tierCosts'], message })
    }
  })
  .meta({
    description: 'Exactly one of `cost` and `formula`; `tierCosts` goes with `cost` only.',
    examples: [{ cost: 10, tierCosts: { pro: 8 } }],
  })
export type PriceBody = z.infer<typeof priceBody>

export const price = z
  .object({ action: actionName, ...terms, createdAt: timestamp, updatedAt: timestamp })
  .meta({
    id: 'Price',
    examples: [
      {
        action: 'chat.completion',
        formula: 'tokens * 0.001 + 10',
        minimum: 1,
        requiredTier: 'basic',
        createdAt: '2026-11-21T09:30:00.000Z',
        updatedAt: '2026-11-21T09:30:00.000Z',
      },
    ],
  })
export type PriceReply = z.infer<typeof price>

export const priceQuery = pageQuery
export const prices = z.object({ prices: z.array(price), nextCursor })

const tier = z
  .strictObject({
    id: tierId,
    level: whole(0, MAX_LEVEL).meta({
      description: 'A higher level has what all lower ones have.',
      examples: [20],
    }),
  })
  .meta({ id: 'Tier', examples: [{ id: 'pro', level: 20 }] })

const tierList = z.array(tier).max(MAX_TIERS)

const EXAMPLE_TIERS = [
  { id: 'free', level: 0 },
  { id: 'pro', level: 20 },
]

export const tiersBody = z
  .strictObject({
    tiers: tierList.superRefine((list, context) => {
      const seen = new Set<string>()
      for (const [index, { id }] of list.entries()) {
        if (seen.has(id)) {
          context.addIssue({
            code: 'custom',
            path: [index, 'id'],
            message: 'Must not be there twice',
          })
        }
        seen.add(id)
      }
    }),
  })
  .meta({ examples: [{ tiers: EXAMPLE_TIERS }] })

export const tiers = z
  .object({
    tiers: tierList,
    nextCursor: z.null().meta({ description: 'All tiers are on one page.' }),
  })
  .meta({ examples: [{ tiers: EXAMPLE_TIERS, nextCursor: null }] })

export const accessQuery = z.strictObject({
  action: actionName,
  quantity: wholeInQuery(1, MAX_QUANTITY)
    .default(1)
    .meta({ description: 'How many, 1 to 1000000.', examples: [1] }),
})

export const access = z
  .object({
    accountId,
    action: actionName,
    allowed: z.boolean().meta({ description: 'Whether a charge would go through now.' }),
    reason: z
      .enum(ACCESS_REASONS)
      .optional()
      .meta({ description: 'Why it is not allowed, or why the price is null.' }),
    requiredTier: requiredTier.nullable(),
    currentTier: tierId.nullable().meta({ description: 'Null without a valid membership.' }),
    price: amount.nullable().meta({
      description: 'What it costs now; null where that takes variables, or can not be told.',
      examples: [8],
    }),
    available: amount.meta({ description: 'Credits that can be spent.', examples: [120] }),
  })
  .meta({
    examples: [
      {
        accountId: 'user-42',
        action: 'image.generate',
        allowed: true,
        requiredTier: 'basic',
        currentTier: 'pro',
        price: 8,
        available: 120,
      },
    ],
  })
