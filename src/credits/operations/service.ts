import type { z } from 'zod'
import type { AppError } from '../../errors.js'
import { type Actor, mayAccess } from '../../http/actor.js'
import { type AuditSink, auditable } from '../../http/audit.js'
import { forbidden } from '../../http/auth.js'
import { toFailure } from '../../http/failure.js'
import { parseIdempotencyKey } from '../../http/idempotency-key.js'
import type { Caller } from '../../http/once.js'
import { toProblem } from '../../http/problem.js'
import { ACCOUNT_ID } from '../../http/schema.js'
import { invalidField, validated } from '../../http/validator.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { Operation } from '../../ledger/model.js'
import type { Charges } from '../charges/service.js'
import type { Corrections } from '../corrections/service.js'
import type { Grants } from '../grants/service.js'
import type { Holds } from '../holds/service.js'
import { write } from '../request.js'
import {
  OPERATION_ACCESS,
  OPERATION_STATUS,
  OPERATION_TYPES,
  type OperationOutcome,
  type OperationType,
  operationSchemas,
} from './schema.js'

export type OperationsDeps = {
  readonly ledger: Ledger
  readonly charges: Charges
  readonly grants: Grants
  readonly holds: Holds
  readonly corrections: Corrections
  readonly audit: AuditSink
  /** An operation failed in a way we did not expect. */
  readonly onDefect: (error: unknown, requestId: string) => void
}

export type Operations = {
  /**
   * Does operations in their order, each for itself: one that is refused spoils no other. Gives an
   * outcome for each, in the same order. An operation without a key of its own has one made from
   * the call's key and its place. Safe to repeat with the same key.
   */
  run(
    by: { readonly actor: Actor; readonly caller: Caller },
    entries: readonly unknown[],
  ): Promise<readonly OperationOutcome[]>
}

type Prepared =
  | { readonly type: OperationType; readonly operation: Operation; readonly error?: undefined }
  | { readonly error: unknown }

export function createOperations(deps: OperationsDeps): Operations {
  const prepare = createPreparation(deps)
  const { ledger, corrections } = deps

  async function submit({ type, operation }: { type: OperationType; operation: Operation }) {
    const { transaction, isReplay } = await write(ledger, operation)
    if (type === 'transfer') await corrections.deliver(transaction)
    const { status: holdStatus, ...fields } = transaction
    return {
      ...fields,
      ...(holdStatus !== undefined && { holdStatus }),
      status: OPERATION_STATUS[type],
      ...(isReplay && { replayed: true }),
    }
  }

  return {
    async run({ actor, caller }, entries) {
      const prepared = await Promise.all(
        entries.map((entry, index) =>
          prepare({ actor, caller, entry, index }).catch((error: unknown): Prepared => ({ error })),
        ),
      )
      // all at once and in order: the ledger keeps the order within each account
      const submitted = prepared.map((item) =>
        'operation' in item ? submit(item) : Promise.reject(item.error),
      )
      const settled = await Promise.allSettled(submitted)
      return settled.map((result, index) => {
        if (result.status === 'fulfilled') return result.value
        return refuse(deps, caller, { entry: entries[index], index }, result.reason)
      })
    },
  }
}

type Entry<T extends OperationType> = z.output<(typeof operationSchemas)[T]>
type Preparers = {
  readonly [T in OperationType]: (
    caller: Caller,
    entry: Omit<Entry<T>, 'type' | 'idempotencyKey'>,
  ) => Operation | Promise<Operation>
}

type Ask = {
  readonly actor: Actor
  readonly caller: Caller
  readonly entry: unknown
  readonly index: number
}

function createPreparation(deps: OperationsDeps): (ask: Ask) => Promise<Prepared> {
  const preparers = preparersOf(deps)
  return async ({ actor, caller, entry, index }) => {
    const type = typeOf(entry)
    if (type === null) throw invalidField('type', `Must be one of ${OPERATION_TYPES.join(', ')}`)
    if (!mayAccess(actor, OPERATION_ACCESS[type])) throw forbidden(actor, OPERATION_ACCESS[type])
    const { value, error } = validated<Entry<OperationType>>(operationSchemas[type], entry, 'body')
    if (error) throw error
    const { type: _, idempotencyKey, ...fields } = value
    const own = { ...caller, idempotencyKey: keyOf(caller, idempotencyKey, index) }
    // the schema of this very type has just accepted the fields
    const prepare = preparers[type] as (by: Caller, of: unknown) => Operation | Promise<Operation>
    return { type, operation: await prepare(own, fields) }
  }
}

function preparersOf({ charges, grants, holds, corrections }: OperationsDeps): Preparers {
  return {
    charge: (by, { accountId, ...body }) => charges.prepareCharge(by, accountId, body),
    refund: (by, { accountId, ...body }) => charges.prepareRefund(by, accountId, body),
    grant: (by, { accountId, ...body }) => grants.prepareGrant(by, accountId, body),
    revoke: (by, { accountId, grantId, ...body }) =>
      grants.prepareRevoke(by, { accountId, grantId }, body),
    hold: (by, { accountId, ...body }) => holds.prepareHold(by, accountId, body),
    capture: (by, { accountId, holdId, ...body }) =>
      holds.prepareCapture(by, { accountId, holdId }, body),
    release: (by, { accountId, holdId, ...body }) =>
      holds.prepareRelease(by, { accountId, holdId }, body),
    extend: (by, { accountId, holdId, ...body }) =>
      holds.prepareExtend(by, { accountId, holdId }, body),
    adjustment: (by, { accountId, ...body }) => corrections.prepareAdjustment(by, accountId, body),
    transfer: (by, { accountId, ...body }) => corrections.prepareTransfer(by, accountId, body),
  }
}

function typeOf(entry: unknown): OperationType | null {
  if (typeof entry !== 'object' || entry === null || !('type' in entry)) return null
  return OPERATION_TYPES.find((type) => type === entry.type) ?? null
}

/** No header holds a line break, so a key made from the call's is nobody's own. */
function keyOf(caller: Caller, own: string | undefined, index: number): string | null {
  if (own !== undefined) return parseIdempotencyKey(own)
  return caller.idempotencyKey === null ? null : `${caller.idempotencyKey}\n${index}`
}

/** The audit log names things as ledger rows do. */
const rowTypeOf = (type: OperationType | null): string =>
  type === 'transfer' ? 'transfer_out' : (type ?? 'operation')

function refuse(
  { audit, onDefect }: OperationsDeps,
  caller: Caller,
  { entry, index }: Pick<Ask, 'entry' | 'index'>,
  reason: unknown,
): OperationOutcome {
  const failure: AppError = toFailure(reason)
  const { actor, requestId } = caller
  if (failure.code === 'internal') onDefect(reason, requestId)
  audit.record({
    accountId: accountOf(entry),
    action: rowTypeOf(typeOf(entry)),
    status: 'failed',
    actor,
    requestId,
    errorCode: failure.code,
    errorMessage: failure.message,
    metadata: auditable(entry),
  })
  const problem = toProblem(failure, { instance: '/v1/operations', requestId })
  if (problem.errors === undefined) return problem
  // what is at fault stands in the body of the call, not of the operation alone
  const errors = problem.errors.map(({ path, message }) => ({
    in: 'body',
    path: path === '' ? `operations[${index}]` : `operations[${index}].${path}`,
    message,
  }))
  return { ...problem, errors }
}

function accountOf(entry: unknown): string | null {
  if (typeof entry !== 'object' || entry === null || !('accountId' in entry)) return null
  const { accountId } = entry
  return typeof accountId === 'string' && ACCOUNT_ID.test(accountId) ? accountId : null
}
