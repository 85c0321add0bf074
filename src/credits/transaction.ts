import { z } from 'zod'
import { storedMetadata } from '../http/metadata.js'
import { amount, isoOf, timestamp } from '../http/schema.js'
import { encodeId } from '../ledger/ids.js'
import {
  GRANT_SOURCES,
  type HoldStatus,
  type LotPart,
  type Row,
  TRANSACTION_TYPES,
  type TransactionType,
} from '../ledger/model.js'

export const transactionId = z
  .string()
  .min(1)
  .max(220)
  .meta({
    description: 'The opaque id of a transaction.',
    examples: ['txn_MTc6dXNlci00Mg'],
  })
export const grantId = z
  .string()
  .min(1)
  .max(220)
  .meta({
    description: 'The opaque id of a grant.',
    examples: ['gr_Mzp1c2VyLTQy'],
  })
export const holdId = z
  .string()
  .min(1)
  .max(220)
  .meta({
    description: 'The opaque id of a hold.',
    examples: ['hold_MjE6dXNlci00Mg'],
  })

export const grantPart = z
  .object({ grantId, source: z.enum(GRANT_SOURCES), amount })
  .meta({ id: 'GrantPart', description: 'How much of one grant a transaction moved.' })

const holdStatus = z.enum(['active', 'captured', 'released', 'expired'])

/** A ledger row as clients see it. */
export const transaction = z
  .object({
    transactionId,
    accountId: z.string(),
    seq: z.int().meta({ description: 'Counts the transactions of the account, without gaps.' }),
    type: z.enum(TRANSACTION_TYPES),
    action: z.string().nullable(),
    amount: amount.meta({ description: 'The signed change of the balance.' }),
    balanceBefore: amount,
    balanceAfter: amount,
    grants: z.array(grantPart).meta({
      description:
        'How much each grant gave, or took when `amount` is positive; of a hold, what it ' +
        'reserves. They add up to the size of `amount`.',
    }),
    metadata: storedMetadata,
    createdAt: timestamp,
    reason: z.string().optional(),
    grantId: grantId.optional().meta({
      description: 'The grant that was made or revoked, or the one that was clawed back.',
    }),
    holdId: holdId.optional().meta({ description: 'The hold that was made or changed.' }),
    amountHeld: amount.optional().meta({ description: 'What the hold reserves, or reserved.' }),
    status: holdStatus
      .optional()
      .meta({ description: 'The status of the hold after this transaction.' }),
    expiresAt: timestamp.optional().meta({ description: 'The deadline of the hold.' }),
    refundOf: transactionId.optional().meta({ description: 'The charge that was refunded.' }),
    to: z.string().optional().meta({ description: 'The account that received a transfer.' }),
    from: z.string().optional().meta({ description: 'The account a transfer came from.' }),
    purchaseId: z.string().optional().meta({ description: 'The purchase it belongs to.' }),
    planId: z.string().optional().meta({ description: 'The plan it belongs to.' }),
    clawedBack: amount.optional().meta({
      description:
        'By how much less the grant counts as given. It left the balance, became `debt`, or had ' +
        'left the grant unused before. Negative when credits are reinstated.',
    }),
    debt: amount.optional().meta({ description: 'The part of `clawedBack` that is owed now.' }),
  })
  .meta({
    id: 'Transaction',
    description: 'One entry of the ledger.',
    examples: [
      {
        transactionId: 'txn_MTc6dXNlci00Mg',
        accountId: 'user-42',
        seq: 17,
        type: 'charge',
        action: 'image.generate',
        amount: -10,
        balanceBefore: 100,
        balanceAfter: 90,
        grants: [{ grantId: 'gr_Mzp1c2VyLTQy', source: 'bonus', amount: 10 }],
        metadata: { conversation: 'c-17' },
        createdAt: '2026-11-21T09:30:00.000Z',
      },
    ],
  })
export type Transaction = z.output<typeof transaction>

/** The transaction that a ledger row is; the same row always gives the same one. */
export function transactionOf(row: Row): Transaction {
  const { accountId, seq, amount: change } = row
  return {
    transactionId: encodeId('txn', accountId, seq),
    accountId,
    seq,
    type: row.type,
    action: row.action,
    amount: change,
    balanceBefore: row.balanceAfter - change,
    balanceAfter: row.balanceAfter,
    grants: grantsOf(accountId, row.parts),
    metadata: row.metadata,
    createdAt: isoOf(row.createdAtMs),
    ...detailsOf(row),
  }
}

export const grantsOf = (accountId: string, parts: readonly LotPart[]) =>
  parts.map((part) => ({
    grantId: encodeId('gr', accountId, part.grantSeq),
    source: part.source,
    amount: Math.abs(part.amount),
  }))

const HOLD_STATUS: Partial<Record<TransactionType, HoldStatus>> = {
  hold: 'active',
  extend: 'active',
  capture: 'captured',
  release: 'released',
  hold_expire: 'expired',
}
/** Rows that make a grant of their own when they bring credits. */
const MAKES_GRANT: ReadonlySet<TransactionType> = new Set([
  'grant',
  'adjustment',
  'transfer_in',
  'transfer_return',
  'allocation',
])

type Detail = {
  readonly reason?: string
  readonly grantSeq?: number
  readonly holdSeq?: number
  readonly amountHeld?: number
  readonly expiresAtMs?: number
  readonly chargeSeq?: number
  readonly to?: string
  readonly from?: string
  readonly purchaseId?: string
  readonly planId?: string
  readonly clawedBack?: number
  readonly debt?: number
}

function detailsOf(row: Row): Partial<Transaction> {
  if (row.type === 'charge' && row.detail === null) return {}
  const { accountId, seq, type } = row
  const detail: Detail = row.detail ?? {}
  const grantSeq = MAKES_GRANT.has(type) && row.amount > 0 ? seq : detail.grantSeq
  const status = HOLD_STATUS[type]
  const { reason, amountHeld, expiresAtMs, chargeSeq, to, from } = detail
  return {
    ...(reason !== undefined && { reason }),
    ...(grantSeq !== undefined && { grantId: encodeId('gr', accountId, grantSeq) }),
    ...(status !== undefined && {
      holdId: encodeId('hold', accountId, detail.holdSeq ?? seq),
      amountHeld,
      status,
    }),
    ...(expiresAtMs !== undefined && { expiresAt: isoOf(expiresAtMs) }),
    ...(chargeSeq !== undefined && { refundOf: encodeId('txn', accountId, chargeSeq) }),
    ...(to !== undefined && { to }),
    ...(from !== undefined && { from }),
    ...factOf(detail),
  }
}

/** What money or a plan brought about. */
const factOf = ({ purchaseId, planId, clawedBack, debt }: Detail): Partial<Transaction> => ({
  ...(purchaseId !== undefined && { purchaseId }),
  ...(planId !== undefined && { planId }),
  ...(clawedBack !== undefined && { clawedBack }),
  ...(debt !== undefined && { debt }),
})
