import { z } from 'zod'
import { metadata, storedMetadata } from '../../http/metadata.js'
import {
  accountId,
  amount,
  instant,
  nextCursor,
  pageQuery,
  text,
  timestamp,
} from '../../http/schema.js'
import { tierId } from '../prices/schema.js'

const email = text(254)
  .regex(/^[^\s@]+@[^\s@]+$/, 'Must be an e-mail address')
  .meta({
    description: 'Kept as it is; found in any letter case.',
    examples: ['ada@example.com'],
  })

export const accountBody = z
  .strictObject({
    email: email.nullable().optional(),
    metadata: metadata.nullable().optional(),
  })
  .meta({ examples: [{ email: 'ada@example.com', metadata: { plan: 'trial' } }] })
export type AccountBody = z.output<typeof accountBody>

export const account = z
  .object({
    accountId,
    email: z.string().nullable(),
    status: z.enum(['active', 'frozen', 'closed']),
    membershipTier: z
      .string()
      .nullable()
      .meta({ description: 'The tier that counts now; null without one, or when it expired.' }),
    membershipExpiresAt: timestamp.nullable(),
    balance: amount,
    metadata: storedMetadata,
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({
    id: 'Account',
    description: 'An account of the caller.',
    examples: [
      {
        accountId: 'user-42',
        email: 'ada@example.com',
        status: 'active',
        membershipTier: 'pro',
        membershipExpiresAt: '2027-01-31T00:00:00.000Z',
        balance: 90,
        metadata: null,
        createdAt: '2026-11-21T09:00:00.000Z',
        updatedAt: '2026-11-21T09:30:00.000Z',
      },
    ],
  })
export type Account = z.output<typeof account>

export const accountQuery = pageQuery.extend({
  email: email.optional(),
  tier: tierId
    .optional()
    .meta({ description: 'Only holders of this tier now.', examples: ['pro'] }),
})

export const accounts = z.object({ accounts: z.array(account), nextCursor })

export const balanceQuery = z.strictObject({
  at: instant.optional().meta({ description: 'The balance as it was then; now without it.' }),
})

export const balance = z
  .object({
    accountId,
    balance: amount.meta({ description: 'All credits, held ones included.' }),
    available: amount.meta({ description: 'What can be spent: the balance without what is held.' }),
    held: amount.meta({ description: 'What holds have reserved.' }),
    debt: amount.meta({ description: 'What the next credits pay first.' }),
    seq: z.int().meta({ description: 'How many transactions led here.' }),
    buckets: z
      .object({ monthly: amount, bonus: amount, purchased: amount })
      .meta({ description: 'The balance by source.' }),
  })
  .meta({
    id: 'Balance',
    description: 'What an account has.',
    examples: [
      {
        accountId: 'user-42',
        balance: 90,
        available: 90,
        held: 0,
        debt: 0,
        seq: 17,
        buckets: { monthly: 0, bonus: 90, purchased: 0 },
      },
    ],
  })
export type Balance = z.output<typeof balance>

/** The change of a standing, with an optional word why. */
export const standingBody = z
  .strictObject({ reason: text(500).optional() })
  .meta({ examples: [{ reason: 'charge-back under way' }] })

export const membershipBody = z
  .strictObject({
    tier: tierId.nullable().meta({ description: 'Null ends the membership.', examples: ['pro'] }),
    expiresAt: instant
      .nullable()
      .optional()
      .meta({ description: 'From then on it is no membership; without it, it lasts.' }),
  })
  .meta({ examples: [{ tier: 'pro', expiresAt: '2027-01-31T00:00:00Z' }] })
export type MembershipBody = z.output<typeof membershipBody>
