import { AppError } from '../../errors.js'
import type { Caller } from '../../http/once.js'
import { type Page, pageOf } from '../../http/page.js'
import { isoOf, msOf } from '../../http/schema.js'
import { invalidField } from '../../http/validator.js'
import { decodeId, encodeId } from '../../ledger/ids.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { Lot, Operation } from '../../ledger/model.js'
import type { LedgerReads } from '../../ledger/reads.js'
import { DEFAULT_PRIORITY } from '../../ledger/rules.js'
import { mustExist } from '../accounts/must-exist.js'
import { type Prepare, requestOf, type Written, write } from '../request.js'
import type { RefuseUnlessApplied } from '../used-keys.js'
import { monthAfter } from './month.js'
import type { Grant, GrantBody, RevokeBody } from './schema.js'

export type GrantsDeps = {
  readonly ledger: Ledger
  readonly reads: LedgerReads
  readonly refuseUnlessApplied: RefuseUnlessApplied
}

export type GrantTarget = { readonly accountId: string; readonly grantId: string }

export type Grants = {
  readonly prepareGrant: Prepare<string, GrantBody>
  readonly prepareRevoke: Prepare<GrantTarget, RevokeBody>
  /**
   * Adds credits as a lot of their own, exactly once under the caller's key; debt is paid from them
   * first. Throws `limit_exceeded` for too many lots or a balance beyond 2^53−1.
   */
  grant(caller: Caller, accountId: string, body: GrantBody): Promise<Written>
  /**
   * Ends a lot: what is free leaves at once, what is held when it comes free. Throws
   * `grant_not_found` and `grant_revoked`.
   */
  revoke(caller: Caller, target: GrantTarget, body: RevokeBody): Promise<Written>
  /** Lots, newest first, spent ones too. Throws `account_not_found`. */
  list(
    accountId: string,
    page: { readonly beforeSeq: number | null; readonly limit: number },
  ): Promise<Page<Grant>>
}

export function createGrants({ ledger, reads, refuseUnlessApplied }: GrantsDeps): Grants {
  const prepareGrant: Grants['prepareGrant'] = async (caller, accountId, body) => {
    const now = ledger.now()
    const expiresAtMs = expiryOf(body, now)
    const operation: Operation = {
      ...requestOf(caller, { kind: 'grant', accountId, body, metadata: body.metadata }),
      kind: 'grant',
      amount: body.amount,
      source: body.source ?? 'bonus',
      priority: body.priority ?? DEFAULT_PRIORITY,
      expiresAtMs,
      reason: body.reason ?? null,
    }
    const isPast = expiresAtMs !== null && expiresAtMs <= now
    const refusal = isPast ? invalidField('expiresAt', 'Must lie in the future') : null
    await refuseUnlessApplied(operation, refusal)
    return operation
  }

  const prepareRevoke: Grants['prepareRevoke'] = (caller, { accountId, grantId }, body) => {
    const lot = decodeId('gr', grantId)
    if (lot?.accountId !== accountId) {
      throw new AppError('grant_not_found', 'The account has no such grant')
    }
    const { metadata, reason } = body
    return {
      ...requestOf(caller, { kind: 'revoke', accountId, parts: [grantId], body, metadata }),
      kind: 'revoke',
      grantSeq: lot.seq,
      reason: reason ?? null,
    }
  }

  return {
    prepareGrant,
    prepareRevoke,
    grant: async (caller, accountId, body) =>
      write(ledger, await prepareGrant(caller, accountId, body)),
    revoke: async (caller, target, body) =>
      write(ledger, await prepareRevoke(caller, target, body)),
    async list(accountId, { beforeSeq, limit }) {
      const lots = await reads.grants(accountId, { beforeSeq, limit: limit + 1 })
      if (lots.length === 0) await mustExist(ledger, accountId)
      const page = pageOf(lots, limit, (lot) => lot.grantSeq)
      const now = ledger.now()
      return { ...page, items: page.items.map((lot) => viewOf(accountId, lot, now)) }
    },
  }
}

function expiryOf({ source, expiresAt }: GrantBody, nowMs: number): number | null {
  const isOpen = expiresAt === undefined && source === 'monthly'
  return isOpen ? monthAfter(nowMs) : msOf(expiresAt)
}

/** A lot as it is now: what is due has left, although the sweep may not have come yet. */
function viewOf(accountId: string, lot: Lot, nowMs: number): Grant {
  const isDue = lot.isRevoked || (lot.expiresAtMs !== null && lot.expiresAtMs <= nowMs)
  return {
    grantId: encodeId('gr', accountId, lot.grantSeq),
    source: lot.source,
    amount: lot.amount,
    remaining: isDue ? lot.held : lot.remaining,
    held: lot.held,
    priority: lot.priority,
    expiresAt: isoOf(lot.expiresAtMs),
    revoked: lot.isRevoked,
    createdAt: isoOf(lot.createdAtMs),
  }
}
