import { z } from 'zod'
import { metadata } from '../../http/metadata.js'
import {
  accountId,
  amount,
  credits,
  instant,
  nextCursor,
  reason,
  timestamp,
  whole,
} from '../../http/schema.js'
import { GRANT_SOURCES } from '../../ledger/model.js'
import { grantId } from '../transaction.js'

const MAX_PRIORITY = 1_000

const source = z.enum(GRANT_SOURCES).meta({
  description:
    'The bucket the credits count in. `monthly` ones expire a calendar month from now unless ' +
    '`expiresAt` says otherwise; the others stay.',
  examples: ['bonus'],
})
const priority = whole(0, MAX_PRIORITY).meta({
  description: 'Smaller pays first; then the sooner expiry, then age.',
  examples: [50],
})

export const grantFields = {
  amount: credits,
  source: source.optional(),
  expiresAt: instant.nullable().optional(),
  priority: priority.optional(),
  reason: reason.optional(),
  metadata: metadata.optional(),
}

export const grantBody = z.strictObject(grantFields).meta({
  examples: [{ amount: 100, source: 'bonus', reason: 'welcome' }],
})
export type GrantBody = z.output<typeof grantBody>

export const revokeFields = { reason: reason.optional(), metadata: metadata.optional() }
export const revokeBody = z.strictObject(revokeFields).meta({
  examples: [{ reason: 'granted by mistake' }],
})
export type RevokeBody = z.output<typeof revokeBody>

export const grantParams = z.object({ accountId, grantId })

/** A lot as clients see it. */
export const grant = z
  .object({
    grantId,
    source: z.enum(GRANT_SOURCES),
    amount: amount.meta({ description: 'What was granted.' }),
    remaining: amount.meta({ description: 'What is left, held credits included.' }),
    held: amount.meta({ description: 'The part of what is left that holds have reserved.' }),
    priority: z.int(),
    expiresAt: timestamp.nullable(),
    revoked: z.boolean(),
    createdAt: timestamp,
  })
  .meta({
    id: 'Grant',
    description: 'A lot of credits: where they came from, and what is left.',
    examples: [
      {
        grantId: 'gr_Mzp1c2VyLTQy',
        source: 'bonus',
        amount: 100,
        remaining: 90,
        held: 0,
        priority: 50,
        expiresAt: null,
        revoked: false,
        createdAt: '2026-11-21T09:00:00.000Z',
      },
    ],
  })
export type Grant = z.output<typeof grant>

export const grants = z.object({ grants: z.array(grant), nextCursor })
