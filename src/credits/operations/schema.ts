import { z } from 'zod'
import type { Access } from '../../http/actor.js'
import { accountId } from '../../http/schema.js'
import { chargeFields, checkCost, refundBody } from '../charges/schema.js'
import { adjustmentFields, transferFields } from '../corrections/schema.js'
import { grantFields, revokeFields } from '../grants/schema.js'
import {
  captureFields,
  checkSettlement,
  extendFields,
  holdFields,
  releaseFields,
} from '../holds/schema.js'
import { grantId, holdId, transaction } from '../transaction.js'

/** One call stays well within a request's time and the ledger's queues. */
export const MAX_OPERATIONS = 1_000

const entry = <T extends string>(type: T) => ({
  type: z.literal(type),
  accountId,
  /** Checked as the header is. */
  idempotencyKey: z
    .string()
    .optional()
    .meta({ description: 'As the header, for this operation alone.', examples: ['order-1017'] }),
})

/** What each kind of operation takes: the fields of its own call, with its ids beside them. */
export const operationSchemas = {
  charge: z.strictObject({ ...entry('charge'), ...chargeFields }).superRefine(checkCost),
  refund: z.strictObject({ ...entry('refund'), ...refundBody.shape }),
  grant: z.strictObject({ ...entry('grant'), ...grantFields }),
  revoke: z.strictObject({ ...entry('revoke'), grantId, ...revokeFields }),
  hold: z.strictObject({ ...entry('hold'), ...holdFields }).superRefine(checkCost),
  capture: z
    .strictObject({ ...entry('capture'), holdId, ...captureFields })
    .superRefine(checkSettlement),
  release: z.strictObject({ ...entry('release'), holdId, ...releaseFields }),
  extend: z.strictObject({ ...entry('extend'), holdId, ...extendFields }),
  adjustment: z.strictObject({ ...entry('adjustment'), ...adjustmentFields }),
  transfer: z.strictObject({ ...entry('transfer'), ...transferFields }),
}
export type OperationType = keyof typeof operationSchemas
export const OPERATION_TYPES = Object.keys(operationSchemas) as OperationType[]

/** What each kind needs of the caller, as its own call does. */
export const OPERATION_ACCESS: Readonly<Record<OperationType, Access>> = {
  charge: 'credits:write',
  refund: 'grants:write',
  grant: 'grants:write',
  revoke: 'grants:write',
  hold: 'credits:write',
  capture: 'credits:write',
  release: 'credits:write',
  extend: 'credits:write',
  adjustment: 'grants:write',
  transfer: 'grants:write',
}

/** What each kind answers when it is done, as its own call does. */
export const OPERATION_STATUS: Readonly<Record<OperationType, number>> = {
  charge: 201,
  refund: 201,
  grant: 201,
  revoke: 201,
  hold: 201,
  capture: 200,
  release: 200,
  extend: 200,
  adjustment: 201,
  transfer: 201,
}

const nameOf = (type: OperationType): string => `${type[0]?.toUpperCase()}${type.slice(1)}Operation`

// named for the document: where they are used, the body's own check lets everything pass
for (const type of OPERATION_TYPES) {
  z.globalRegistry.add(operationSchemas[type], { id: nameOf(type) })
}
const refOf = (type: OperationType): string => `#/components/schemas/${nameOf(type)}Input`

/** Entries are checked one by one later, so that a bad one spoils no other. */
const operationEntry = z.unknown().meta({
  oneOf: OPERATION_TYPES.map((type) => ({ $ref: refOf(type) })),
  discriminator: {
    propertyName: 'type',
    mapping: Object.fromEntries(OPERATION_TYPES.map((type) => [type, refOf(type)])),
  },
})

export const operationsBody = z
  .strictObject({ operations: z.array(operationEntry).min(1).max(MAX_OPERATIONS) })
  .meta({
    examples: [
      {
        operations: [
          { type: 'charge', accountId: 'user-42', amount: 10, idempotencyKey: 'order-1017' },
          { type: 'grant', accountId: 'user-43', amount: 100, source: 'bonus' },
        ],
      },
    ],
  })

export type OperationOutcome = Readonly<Record<string, unknown>> & { readonly status: number }

/** A transaction or a problem, with the status its own call would have had. */
const outcome = z
  .custom<OperationOutcome>((value) => typeof value === 'object' && value !== null)
  .meta({
    id: 'Outcome',
    type: 'object',
    description:
      'What became of one operation: `status`, and beside it the fields of its transaction or of ' +
      'its problem. The status of a hold stands as `holdStatus`.',
    required: ['status'],
    properties: {
      status: { type: 'integer', description: 'The HTTP status of its own call.' },
      replayed: {
        type: 'boolean',
        description: 'True when the answer was given before, under the same key.',
      },
    },
    additionalProperties: true,
  })

export const outcomes = z
  .object({
    outcomes: z.array(outcome).meta({ description: 'In the order of the operations.' }),
  })
  .meta({
    examples: [
      {
        outcomes: [
          {
            status: 402,
            type: 'urn:creditd:problem:insufficient_credits',
            title: 'Not enough credits',
            detail: '10 credits are required, 3 are available',
            code: 'insufficient_credits',
            instance: '/v1/operations',
            requestId: 'k3x9-1f',
            required: 10,
            available: 3,
          },
          { status: 201, ...(transaction.meta()?.examples as object[] | undefined)?.[0] },
        ],
      },
    ],
  })
