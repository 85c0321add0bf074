import { z } from 'zod'
import { accountId, timestamp } from '../http/schema.js'
import { planId } from './schema.js'

const provider = z
  .enum(['stripe', 'creem'])
  .meta({ description: 'Who bills it; null: nobody does.', examples: ['stripe'] })
const providerSubscriptionId = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'Must be 1 to 255 visible ASCII characters')
  .meta({ description: "The provider's id of it.", examples: ['sub_1Q2w3E'] })

export const subscriptionBody = z
  .strictObject({
    planId,
    provider: provider.nullable().optional(),
    providerSubscriptionId: providerSubscriptionId.optional(),
  })
  .superRefine((body, context) => {
    const hasProvider = typeof body.provider === 'string'
    if (hasProvider === (body.providerSubscriptionId !== undefined)) return
    const path = hasProvider ? ['providerSubscriptionId'] : ['provider']
    const message = 'provider and providerSubscriptionId go together'
    context.addIssue({ code: 'custom', path, message })
  })
  .meta({ examples: [{ planId: 'pro_monthly' }] })
export type SubscriptionBody = z.output<typeof subscriptionBody>

export const subscription = z
  .object({
    accountId,
    planId,
    tier: z.string().meta({ description: 'The tier of the plan.' }),
    nextPlanId: planId
      .nullable()
      .meta({ description: 'The plan that follows at the end of the period.' }),
    status: z
      .enum(['active', 'trialing', 'past_due', 'unpaid', 'paused', 'canceled'])
      .meta({ description: '`canceled`: it ends, or has ended, at `endsAt`.' }),
    provider: provider.nullable(),
    providerSubscriptionId: providerSubscriptionId.nullable(),
    periodStart: timestamp
      .nullable()
      .meta({ description: 'The monthly period that is running; null: none is.' }),
    periodEnd: timestamp.nullable(),
    paidUntil: timestamp
      .nullable()
      .meta({ description: 'Null without a provider: for ever; with one: nothing is paid yet.' }),
    endsAt: timestamp.nullable().meta({ description: 'Null: it goes on.' }),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({
    id: 'Subscription',
    description: 'The plan of an account.',
    examples: [
      {
        accountId: 'user-42',
        planId: 'pro_monthly',
        tier: 'pro',
        nextPlanId: null,
        status: 'active',
        provider: null,
        providerSubscriptionId: null,
        periodStart: '2026-11-21T09:00:00.000Z',
        periodEnd: '2026-12-21T09:00:00.000Z',
        paidUntil: null,
        endsAt: null,
        createdAt: '2026-11-21T09:00:00.000Z',
        updatedAt: '2026-11-21T09:00:00.000Z',
      },
    ],
  })
export type SubscriptionView = z.output<typeof subscription>
