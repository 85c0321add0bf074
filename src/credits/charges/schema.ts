import { z } from 'zod'
import { metadata } from '../../http/metadata.js'
import { actionName, amount, credits, reason } from '../../http/schema.js'
import { quantity, variables } from '../prices/schema.js'
import { grantPart, transactionId } from '../transaction.js'

/** What something costs: an amount, or what the price list says of an action. */
export const costFields = {
  amount: credits.optional(),
  action: actionName.optional(),
  quantity: quantity.optional(),
  variables: variables.optional(),
}
export type Cost = {
  readonly amount?: number | undefined
  readonly action?: string | undefined
  readonly quantity?: number | undefined
  readonly variables?: Readonly<Record<string, number>> | undefined
}

/** An amount goes without what would price it; an action may name it all the same. */
export function checkCost(cost: Cost, context: z.RefinementCtx): void {
  const fault = (path: string, message: string) =>
    context.addIssue({ code: 'custom', path: [path], message })
  if (cost.amount === undefined) {
    if (cost.action === undefined) fault('amount', 'Send an amount, or an action to be priced')
    return
  }
  if (cost.quantity !== undefined) fault('quantity', 'Goes with a price, not with an amount')
  if (cost.variables !== undefined) fault('variables', 'Goes with a price, not with an amount')
}

/** How a settled job is priced: by amount, by the hold's action, or as it was held. */
export const settlementFields = {
  amount: credits.optional(),
  quantity: quantity.optional(),
  variables: variables.optional(),
}

export const chargeFields = { ...costFields, metadata: metadata.optional() }

export const chargeBody = z
  .strictObject({
    ...chargeFields,
    dryRun: z
      .boolean()
      .optional()
      .meta({ description: 'Only tell what the charge would do.', examples: [false] }),
  })
  .superRefine(checkCost)
  .meta({
    examples: [{ action: 'image.generate', quantity: 1, metadata: { conversation: 'c-17' } }],
  })
export type ChargeBody = z.output<typeof chargeBody>

/** What a charge would do. */
export const estimate = z
  .object({
    dryRun: z.literal(true),
    accountId: z.string(),
    action: z.string().nullable(),
    amount,
    balanceBefore: amount,
    balanceAfter: amount,
    grants: z.array(grantPart),
  })
  .meta({
    id: 'Estimate',
    description: 'What a charge would do; nothing was written.',
    examples: [
      {
        dryRun: true,
        accountId: 'user-42',
        action: 'image.generate',
        amount: -10,
        balanceBefore: 100,
        balanceAfter: 90,
        grants: [{ grantId: 'gr_Mzp1c2VyLTQy', source: 'bonus', amount: 10 }],
      },
    ],
  })
export type Estimate = z.output<typeof estimate>

export const refundBody = z
  .strictObject({
    transactionId,
    amount: credits
      .optional()
      .meta({ description: 'Without it all that is left of the charge.', examples: [4] }),
    reason: reason.optional(),
    metadata: metadata.optional(),
  })
  .meta({ examples: [{ transactionId: 'txn_MTc6dXNlci00Mg', amount: 4, reason: 'bad result' }] })
export type RefundBody = z.output<typeof refundBody>
