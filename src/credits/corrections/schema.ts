import { z } from 'zod'
import { metadata } from '../../http/metadata.js'
import { accountId, credits, reason, whole } from '../../http/schema.js'

const signedCredits = whole(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 'credits')
  .refine((value) => value !== 0, 'Must not be 0')
  .meta({ description: 'Whole credits to add, or, negative, to take.', examples: [-5] })

export const adjustmentFields = { amount: signedCredits, reason, metadata: metadata.optional() }
export const adjustmentBody = z
  .strictObject(adjustmentFields)
  .meta({ examples: [{ amount: -5, reason: 'counted twice' }] })
export type AdjustmentBody = z.output<typeof adjustmentBody>

export const transferFields = {
  to: accountId,
  amount: credits,
  metadata: metadata.optional(),
}
export const transferBody = z
  .strictObject({ from: accountId, ...transferFields })
  .meta({ examples: [{ from: 'user-42', to: 'user-43', amount: 20 }] })
export type TransferBody = z.output<typeof transferBody>
