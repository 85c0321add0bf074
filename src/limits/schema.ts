import { z } from 'zod'
import { nextCursor, timestamp, whole } from '../http/schema.js'
import { MAX_UNITS, POLICY_NAMES } from '../policies.js'

const policy = z
  .string()
  .min(1)
  .max(64)
  .meta({
    description: 'The name of a policy.',
    examples: ['api'],
  })

/** Whom a back end counts, by whatever name it has for them: a user, an address, a session. */
const identity = z
  .string()
  .regex(/^[\x21-\x7e]{1,128}$/, 'Must be 1 to 128 visible ASCII characters')
  .meta({
    description: 'Whom to count: 1 to 128 visible ASCII characters.',
    examples: ['user-42'],
  })

export const policyParams = z.object({ policy })
export const identityParams = z.object({ policy, identity })

export const checkBody = z
  .strictObject({
    identity,
    cost: whole(1, MAX_UNITS, 'units')
      .default(1)
      .meta({ description: 'Units to take, all or none.', examples: [1] }),
  })
  .meta({ examples: [{ identity: 'user-42' }] })

const example = {
  allowed: true,
  limit: 100,
  remaining: 99,
  resetAt: '2026-11-21T09:31:00.000Z',
  retryAfterSeconds: 0,
}

export const limitCheck = z
  .object({
    allowed: z.boolean().meta({ description: 'Whether the units were, or could be, taken.' }),
    limit: z.int().meta({ description: 'Units in the window of the policy.' }),
    remaining: z.int().meta({ description: 'Units that may still be taken now.' }),
    resetAt: timestamp.meta({ description: 'When the oldest unit taken leaves the window.' }),
    retryAfterSeconds: z.int().meta({ description: 'When to ask again; 0 when it is allowed.' }),
  })
  .meta({ id: 'LimitCheck', description: 'How an identity stands.', examples: [example] })
export type LimitCheck = z.output<typeof limitCheck>

const rateLimit = z
  .object({
    policy: z.enum(POLICY_NAMES),
    limit: z.int().meta({ description: 'Units in any stretch of the window.' }),
    windowSeconds: z.int(),
  })
  .meta({
    id: 'RateLimit',
    description: 'A policy as it is in force.',
    examples: [{ policy: 'api', limit: 100, windowSeconds: 60 }],
  })
export type RateLimitView = z.output<typeof rateLimit>

export const rateLimits = z.object({ rateLimits: z.array(rateLimit), nextCursor })
