import { z } from 'zod'
import { metadata } from '../../http/metadata.js'
import { accountId, amount, nextCursor, pageQuery, timestamp, whole } from '../../http/schema.js'
import { checkCost, costFields, settlementFields } from '../charges/schema.js'
import { grantPart, holdId, transactionId } from '../transaction.js'

/** A job that runs longer extends its hold. */
const MAX_TTL_SECONDS = 30 * 24 * 60 * 60

const ttlSeconds = whole(1, MAX_TTL_SECONDS, 'seconds').meta({
  description: 'How long the hold lasts from now, at most 30 days.',
  examples: [900],
})

export const holdFields = { ...costFields, ttlSeconds, metadata: metadata.optional() }
export const holdBody = z
  .strictObject(holdFields)
  .superRefine(checkCost)
  .meta({ examples: [{ amount: 75, ttlSeconds: 900 }] })
export type HoldBody = z.output<typeof holdBody>

export const captureFields = { ...settlementFields, metadata: metadata.optional() }

/** One way of saying what the job came to, at most. */
export function checkSettlement(
  body: { amount?: number | undefined; quantity?: unknown; variables?: unknown },
  context: z.RefinementCtx,
): void {
  if (body.amount === undefined) return
  for (const path of ['quantity', 'variables'] as const) {
    if (body[path] === undefined) continue
    const message = 'Goes with a price, not with an amount'
    context.addIssue({ code: 'custom', path: [path], message })
  }
}

export const captureBody = z
  .strictObject(captureFields)
  .superRefine(checkSettlement)
  .meta({ examples: [{ amount: 60 }] })
export type CaptureBody = z.output<typeof captureBody>

export const releaseFields = { metadata: metadata.optional() }
export const releaseBody = z.strictObject(releaseFields).meta({ examples: [{}] })
export type ReleaseBody = z.output<typeof releaseBody>

export const extendFields = { ttlSeconds, metadata: metadata.optional() }
export const extendBody = z.strictObject(extendFields).meta({ examples: [{ ttlSeconds: 900 }] })
export type ExtendBody = z.output<typeof extendBody>

export const holdParams = z.object({ accountId, holdId })

const status = z.enum(['active', 'captured', 'released', 'expired'])

export const hold = z
  .object({
    holdId,
    accountId: z.string(),
    status,
    action: z.string().nullable(),
    amountHeld: amount.meta({ description: 'What it reserves, or reserved.' }),
    amountCaptured: amount.meta({ description: 'What was charged when it was captured.' }),
    grants: z.array(grantPart).meta({ description: 'Which grants the credits are held in.' }),
    expiresAt: timestamp,
    createdAt: timestamp,
    settledBy: transactionId.nullable().meta({
      description: 'The transaction that captured, released or expired it.',
    }),
  })
  .meta({
    id: 'Hold',
    description: 'Credits reserved for a job.',
    examples: [
      {
        holdId: 'hold_MjE6dXNlci00Mg',
        accountId: 'user-42',
        status: 'active',
        action: null,
        amountHeld: 75,
        amountCaptured: 0,
        grants: [{ grantId: 'gr_Mzp1c2VyLTQy', source: 'bonus', amount: 75 }],
        expiresAt: '2026-11-21T09:45:00.000Z',
        createdAt: '2026-11-21T09:30:00.000Z',
        settledBy: null,
      },
    ],
  })
export type HoldView = z.output<typeof hold>

export const holdQuery = pageQuery.extend({
  status: status.optional().meta({ description: 'Only holds with this status.' }),
})
export const holds = z.object({ holds: z.array(hold), nextCursor })
