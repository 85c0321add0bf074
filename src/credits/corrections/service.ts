import { AppError } from '../../errors.js'
import type { Caller } from '../../http/once.js'
import { invalidField } from '../../http/validator.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { Operation } from '../../ledger/model.js'
import type { Upkeep } from '../../ledger/upkeep.js'
import { type Prepare, requestOf, type Written, write } from '../request.js'
import type { Transaction } from '../transaction.js'
import type { RefuseUnlessApplied } from '../used-keys.js'
import type { AdjustmentBody, TransferBody } from './schema.js'

export type CorrectionsDeps = {
  readonly ledger: Ledger
  readonly upkeep: Pick<Upkeep, 'finishTransfer'>
  readonly refuseUnlessApplied: RefuseUnlessApplied
}

export type Corrections = {
  readonly prepareAdjustment: Prepare<string, AdjustmentBody>
  /** The target is the account that gives. */
  readonly prepareTransfer: Prepare<string, Omit<TransferBody, 'from'>>
  /** Brings a transfer's credits to the other account; what fails is left to the upkeep. */
  deliver(transfer: Transaction): Promise<void>
  /** Adds or takes credits by hand. Throws `insufficient_credits`. */
  adjust(caller: Caller, accountId: string, body: AdjustmentBody): Promise<Written>
  /**
   * Takes credits from one account for another, exactly once under the caller's key; they arrive
   * there, each lot with its source, priority and expiry, even if we crash in between. Throws
   * `insufficient_credits`, and `account_not_found` or `account_closed` for either account.
   */
  transfer(caller: Caller, body: TransferBody): Promise<Written>
}

export function createCorrections(deps: CorrectionsDeps): Corrections {
  const { ledger, refuseUnlessApplied } = deps
  const prepareAdjustment: Corrections['prepareAdjustment'] = (caller, accountId, body) => ({
    ...requestOf(caller, { kind: 'adjustment', accountId, body, metadata: body.metadata }),
    kind: 'adjustment',
    amount: body.amount,
    reason: body.reason,
  })

  const prepareTransfer: Corrections['prepareTransfer'] = async (caller, accountId, body) => {
    const { to, amount, metadata } = body
    if (to === accountId) throw invalidField('to', 'Must be another account')
    const operation: Operation = {
      ...requestOf(caller, { kind: 'transfer_out', accountId, body, metadata }),
      kind: 'transfer_out',
      to,
      amount,
    }
    await refuseUnlessApplied(operation, await refusalBy(ledger, to))
    return operation
  }

  const deliver: Corrections['deliver'] = async ({ accountId, seq }) => {
    // the debit stands, so the answer does too: what is pending is tried again beside us
    await deps.upkeep.finishTransfer(accountId, seq).catch(() => null)
  }

  return {
    prepareAdjustment,
    prepareTransfer,
    deliver,
    adjust: async (caller, accountId, body) =>
      write(ledger, await prepareAdjustment(caller, accountId, body)),
    async transfer(caller, { from, ...body }) {
      const written = await write(ledger, await prepareTransfer(caller, from, body))
      await deliver(written.transaction)
      return written
    },
  }
}

/** Why an account can not receive, or null. Should it close meanwhile, the credits come back. */
async function refusalBy(ledger: Ledger, to: string): Promise<AppError | null> {
  const receiver = await ledger.read(to)
  if (receiver === null) {
    return new AppError('account_not_found', `No account ${to} has been opened`, { accountId: to })
  }
  if (receiver.status !== 'closed') return null
  return new AppError('account_closed', `The account ${to} is closed`, { accountId: to })
}
