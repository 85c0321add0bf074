import { z } from 'zod'
import { nextCursor, pageQuery, text, timestamp, whole } from '../http/schema.js'

/** Far beyond any plan, and far from where sums would no longer be exact. */
const MAX_PLAN_CREDITS = 1_000_000_000_000
const MAX_BONUS_PERCENTAGE = 1_000

export const planId = z
  .string()
  .regex(/^[a-z0-9_-]{1,64}$/, 'Must be 1 to 64 of a-z 0-9 _ -')
  .meta({ description: 'The id of a plan.', examples: ['pro_monthly'] })

export const planParams = z.object({ planId })

const tier = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'Must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit',
  )
  .meta({ description: 'The tier of membership that the plan gives.', examples: ['pro'] })
const monthlyCredits = whole(0, MAX_PLAN_CREDITS, 'credits').meta({
  description: 'What each monthly period brings; it expires with the period.',
  examples: [300],
})
const rolloverEnabled = z.boolean().meta({
  description: 'Whether unused monthly credits go over into the next period.',
  examples: [true],
})
const rolloverMax = whole(0, MAX_PLAN_CREDITS, 'credits').meta({
  description: 'How many go over at most, however long they have been saved.',
  examples: [150],
})
const bonusPercentage = whole(0, MAX_BONUS_PERCENTAGE, 'per cent').meta({
  description: 'Bonus credits on top, in per cent of the monthly ones, rounded down.',
  examples: [10],
})
const trialCredits = z.boolean().meta({
  description: 'Whether a trial brings credits too; it gives the tier in any case.',
  examples: [false],
})
const providerId = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'Must be 1 to 255 visible ASCII characters')
const stripePriceId = providerId.meta({
  description: "Stripe's price, or product, that stands for the plan.",
  examples: ['price_1Q2w3E'],
})
const creemPriceId = providerId.meta({
  description: "Creem's product that stands for the plan.",
  examples: ['prod_4r5T6y'],
})
const name = text(200).meta({ description: 'What the buyer sees.', examples: ['Pro, monthly'] })
const description = text(1_000).meta({ description: 'For people.', examples: ['For daily work'] })
const active = z.boolean().meta({
  description: 'Whether it is offered; who has it keeps it.',
  examples: [true],
})
const sortOrder = whole(-1_000_000, 1_000_000).meta({
  description: 'Smaller comes first; then by id.',
  examples: [10],
})

export const planBody = z
  .strictObject({
    tier: tier.optional(),
    monthlyCredits: monthlyCredits.optional(),
    rolloverEnabled: rolloverEnabled.optional(),
    rolloverMax: rolloverMax.optional(),
    bonusPercentage: bonusPercentage.optional(),
    trialCredits: trialCredits.optional(),
    stripePriceId: stripePriceId.nullable().optional(),
    creemPriceId: creemPriceId.nullable().optional(),
    name: name.optional(),
    description: description.nullable().optional(),
    active: active.optional(),
    sortOrder: sortOrder.optional(),
  })
  .meta({
    examples: [{ tier: 'pro', monthlyCredits: 300, rolloverEnabled: true, rolloverMax: 150 }],
  })
export type PlanBody = z.output<typeof planBody>

export const plan = z
  .object({
    id: planId,
    tier,
    monthlyCredits,
    rolloverEnabled,
    rolloverMax,
    bonusPercentage,
    trialCredits,
    stripePriceId: stripePriceId.nullable(),
    creemPriceId: creemPriceId.nullable(),
    name,
    description: description.nullable(),
    active,
    sortOrder,
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({
    id: 'Plan',
    description: 'Credits that come each month, and the tier that goes with them.',
    examples: [
      {
        id: 'pro_monthly',
        tier: 'pro',
        monthlyCredits: 300,
        rolloverEnabled: true,
        rolloverMax: 150,
        bonusPercentage: 0,
        trialCredits: false,
        stripePriceId: 'price_1Q2w3E',
        creemPriceId: null,
        name: 'Pro, monthly',
        description: 'Paid by the month',
        active: true,
        sortOrder: 30,
        createdAt: '2026-11-21T09:00:00.000Z',
        updatedAt: '2026-11-21T09:00:00.000Z',
      },
    ],
  })
export type PlanView = z.output<typeof plan>

export const planQuery = pageQuery.extend({
  all: z
    .enum(['true', 'false'])
    .optional()
    .meta({
      description: '`true`: also those that are not offered. For keys with the scope `admin`.',
      examples: ['false'],
    }),
})

export const plans = z.object({ plans: z.array(plan), nextCursor })
