import { AppError } from '../../errors.js'
import type { Caller } from '../../http/once.js'
import { decodeId } from '../../ledger/ids.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { Quote } from '../../ledger/model.js'
import type { Catalogue } from '../prices/catalogue.js'
import { type Prepare, requestOf, type Written, write } from '../request.js'
import { transactionOf } from '../transaction.js'
import type { ChargeBody, Cost, Estimate, RefundBody } from './schema.js'

export type ChargesDeps = {
  readonly ledger: Ledger
  readonly catalogue: Pick<Catalogue, 'quoteFor'>
}

export type Charges = {
  readonly prepareCharge: Prepare<string, Omit<ChargeBody, 'dryRun'>>
  readonly prepareRefund: Prepare<string, RefundBody>
  /**
   * Takes credits, by amount or by the price list, exactly once under the caller's key. Throws
   * `insufficient_credits` and what the price throws.
   */
  charge(caller: Caller, accountId: string, body: ChargeBody): Promise<Written>
  /** What the charge would do now; throws what it would throw. Writes nothing. */
  estimate(caller: Caller, accountId: string, body: ChargeBody): Promise<Estimate>
  /**
   * Gives a charge, or a part of it, back to the grants that paid it. Throws
   * `transaction_not_found` and `refund_exceeds_charge`.
   */
  refund(caller: Caller, accountId: string, body: RefundBody): Promise<Written>
}

export function createCharges({ ledger, catalogue }: ChargesDeps): Charges {
  const prepareCharge: Charges['prepareCharge'] = (caller, accountId, body) => {
    const ask = { kind: 'charge', accountId, body, metadata: body.metadata } as const
    const { key, digest, actor, requestId, metadata } = requestOf(caller, ask)
    const chargeAt = (quote: Quote) => ({
      accountId,
      key,
      digest,
      actor,
      requestId,
      metadata,
      kind: ask.kind,
      action: body.action ?? null,
      quote,
    })
    const quote = quoteOf(catalogue, body)
    return quote instanceof Promise ? quote.then(chargeAt) : chargeAt(quote)
  }

  const prepareRefund: Charges['prepareRefund'] = (caller, accountId, body) => {
    const charge = decodeId('txn', body.transactionId)
    if (charge?.accountId !== accountId) {
      throw new AppError('transaction_not_found', 'The account has no such charge')
    }
    return {
      ...requestOf(caller, { kind: 'refund', accountId, body, metadata: body.metadata }),
      kind: 'refund',
      chargeSeq: charge.seq,
      amount: body.amount ?? null,
      reason: body.reason ?? null,
    }
  }

  return {
    prepareCharge,
    prepareRefund,
    // on the way of every charge: a promise or a copy too many shows in the load it can bear
    charge(caller, accountId, body) {
      const asked = body.dryRun === undefined ? body : withoutDryRun(body)
      const prepared = prepareCharge(caller, accountId, asked)
      return prepared instanceof Promise
        ? prepared.then((operation) => write(ledger, operation))
        : write(ledger, prepared)
    },
    async estimate(caller, accountId, body) {
      const anonymous = { ...caller, idempotencyKey: null }
      const operation = await prepareCharge(anonymous, accountId, withoutDryRun(body))
      const { row } = await ledger.preview(operation)
      if (row === null) throw new Error('a charge was decided without a row')
      const { action, amount, balanceBefore, balanceAfter, grants } = transactionOf(row)
      return { dryRun: true, accountId, action, amount, balanceBefore, balanceAfter, grants }
    },
    async refund(caller, accountId, body) {
      return write(ledger, await prepareRefund(caller, accountId, body))
    },
  }
}

const withoutDryRun = ({ dryRun: _, ...body }: ChargeBody): Omit<ChargeBody, 'dryRun'> => body

/** The price of a cost: the amount as it stands, or the price list's word as of now. */
export function quoteOf(
  catalogue: Pick<Catalogue, 'quoteFor'>,
  { amount, action, quantity = 1, variables = {} }: Cost,
): Quote | Promise<Quote> {
  if (amount !== undefined) {
    const priced = { amount, detail: null }
    return () => priced
  }
  if (action === undefined) throw new Error('a cost without amount and action')
  return catalogue.quoteFor({ action, quantity, variables })
}
