import { z } from 'zod'
import {
  accountId,
  actionName,
  amount,
  instant,
  nextCursor,
  pageQuery,
  timestamp,
} from '../../http/schema.js'
import { TRANSACTION_TYPES } from '../../ledger/model.js'
import { transaction, transactionId } from '../transaction.js'

const period = {
  from: instant.optional().meta({ description: 'Not before this instant.' }),
  to: instant.optional().meta({ description: 'Not after this instant.' }),
}

export const historyQuery = pageQuery.extend({
  ...period,
  action: actionName.optional(),
  type: z.enum(TRANSACTION_TYPES).optional().meta({ description: 'Only this type.' }),
})
export type HistoryFilter = z.output<typeof historyQuery>

export const transactions = z.object({ transactions: z.array(transaction), nextCursor })
export const transactionParams = z.object({ transactionId })

export const usageQuery = z.strictObject({
  ...period,
  groupBy: z
    .enum(['action', 'day'])
    .default('action')
    .meta({ description: 'By action, or by day (UTC).', examples: ['action'] }),
})
export type UsageFilter = z.output<typeof usageQuery>

const figures = {
  charged: amount.meta({ description: 'Credits charged, captures included.' }),
  refunded: amount.meta({ description: 'Credits of charges given back.' }),
  net: amount.meta({ description: 'What was charged and not refunded.' }),
  count: z.int().meta({ description: 'How many charges.' }),
}

export const usage = z
  .object({
    accountId,
    groupBy: z.enum(['action', 'day']),
    from: timestamp.nullable(),
    to: timestamp.nullable(),
    usage: z.array(
      z.object({
        action: z
          .string()
          .nullable()
          .optional()
          .meta({ description: 'By action: its name, null for charges without one.' }),
        day: z.iso.date().optional().meta({ description: 'By day: the day, in UTC.' }),
        ...figures,
      }),
    ),
    total: z.object(figures),
  })
  .meta({
    id: 'Usage',
    description: 'What an account used.',
    examples: [
      {
        accountId: 'user-42',
        groupBy: 'action',
        from: null,
        to: null,
        usage: [{ action: 'image.generate', charged: 30, refunded: 10, net: 20, count: 3 }],
        total: { charged: 30, refunded: 10, net: 20, count: 3 },
      },
    ],
  })
export type Usage = z.output<typeof usage>
