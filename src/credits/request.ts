import type { Metadata } from '../http/metadata.js'
import type { Caller } from '../http/once.js'
import { canonicalJson, digestOf, keyDigest, newKey } from '../ledger/ids.js'
import type { Ledger } from '../ledger/ledger.js'
import type { Operation, OperationKind, Request } from '../ledger/model.js'
import { type Transaction, transactionOf } from './transaction.js'

export type Ask = {
  readonly kind: OperationKind
  readonly accountId: string
  /** Ids in the path beside the account's. */
  readonly parts?: readonly string[]
  readonly body: unknown
  readonly metadata?: Metadata | undefined
}

/** Who asks, under which key, and the digest of what: the part that all operations have. */
export function requestOf(caller: Caller, ask: Ask): Request {
  const { kind, accountId, parts = [], body, metadata } = ask
  return {
    accountId,
    key: keyOf(caller),
    digest: digestOf(kind, ...parts, canonicalJson(body)),
    actor: caller.actor,
    requestId: caller.requestId,
    metadata: metadata ?? null,
  }
}

/** The digest under which the ledger keeps the caller's key. */
export const keyOf = ({ idempotencyKey, keySpace }: Caller): string =>
  idempotencyKey === null ? newKey() : keyDigest(keySpace, idempotencyKey)

/** A ledger write as it is answered. */
export type Written = { readonly transaction: Transaction; readonly isReplay: boolean }

/** Turns a validated body into an operation; throws what can be refused before the ledger. */
export type Prepare<Target, Body> = (
  caller: Caller,
  target: Target,
  body: Body,
) => Operation | Promise<Operation>

/** Submits an operation that writes a row; throws what the ledger refuses. */
export async function write(ledger: Ledger, operation: Operation): Promise<Written> {
  const { row, isReplay } = await ledger.submit(operation)
  if (row === null) throw new Error(`a ${operation.kind} wrote no row`)
  return { transaction: transactionOf(row), isReplay }
}
