import { z } from 'zod'
import { accountId } from '../../http/schema.js'
import { balance } from '../accounts/schema.js'

export const statusQuery = z.strictObject({
  accountId: accountId
    .optional()
    .meta({ description: 'Whose balance: with an API key any, with a session its own alone.' }),
})

export const status = z
  .object({
    version: z
      .enum(['v1', 'v2'])
      .meta({ description: 'The version of the credit system in force.', examples: ['v1'] }),
    purchasesEnabled: z
      .boolean()
      .meta({ description: 'Whether credits can be bought.', examples: [true] }),
    rollbackMode: z
      .boolean()
      .meta({ description: 'Whether v1 is forced for now.', examples: [false] }),
    rollover: z.boolean().meta({
      description:
        'Whether unused credits of a plan roll over: of the plan of the account when the balance ' +
        'of one is told, else of any plan that is offered.',
      examples: [true],
    }),
    rolloverMax: z
      .int()
      .nullable()
      .meta({ description: 'At most so many roll over; null: no bound, or no one plan meant.' }),
    balance: balance.nullable().meta({ description: 'Null: nobody’s in particular.' }),
  })
  .meta({
    id: 'CreditStatus',
    description: 'How the credit system is run, and what the caller has.',
    examples: [
      {
        version: 'v1',
        purchasesEnabled: true,
        rollbackMode: false,
        rollover: true,
        rolloverMax: null,
        balance: null,
      },
    ],
  })
export type Status = z.output<typeof status>
