import { AppError } from '../../errors.js'
import type { Caller } from '../../http/once.js'
import { type Page, pageOf } from '../../http/page.js'
import { isoOf } from '../../http/schema.js'
import { decodeId, encodeId } from '../../ledger/ids.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { Hold, HoldStatus, Operation } from '../../ledger/model.js'
import type { LedgerReads } from '../../ledger/reads.js'
import { mustExist } from '../accounts/must-exist.js'
import { quoteOf } from '../charges/service.js'
import type { Catalogue } from '../prices/catalogue.js'
import { type Prepare, requestOf, type Written, write } from '../request.js'
import { grantsOf } from '../transaction.js'
import type { CaptureBody, ExtendBody, HoldBody, HoldView, ReleaseBody } from './schema.js'

export type HoldsDeps = {
  readonly ledger: Ledger
  readonly reads: LedgerReads
  readonly catalogue: Pick<Catalogue, 'quoteFor' | 'settlementFor'>
}

export type HoldTarget = { readonly accountId: string; readonly holdId: string }

export type HoldPage = {
  readonly beforeSeq: number | null
  readonly limit: number
  readonly status: HoldStatus | null
}

export type Holds = {
  readonly prepareHold: Prepare<string, HoldBody>
  readonly prepareCapture: Prepare<HoldTarget, CaptureBody>
  readonly prepareRelease: Prepare<HoldTarget, ReleaseBody>
  readonly prepareExtend: Prepare<HoldTarget, ExtendBody>
  /** Reserves credits until captured, released or past the deadline. Throws as a charge does. */
  hold(caller: Caller, accountId: string, body: HoldBody): Promise<Written>
  /**
   * Charges a hold once, wholly, partly or beyond; the rest comes free. Throws `hold_not_found`,
   * `hold_not_active`, and `insufficient_credits` (then the hold stays).
   */
  capture(caller: Caller, target: HoldTarget, body: CaptureBody): Promise<Written>
  /** Gives all of a hold back. Throws `hold_not_found` and `hold_not_active`. */
  release(caller: Caller, target: HoldTarget, body: ReleaseBody): Promise<Written>
  /** Moves the deadline, never to an earlier one. Throws `hold_not_found`, `hold_not_active`. */
  extend(caller: Caller, target: HoldTarget, body: ExtendBody): Promise<Written>
  /** Throws `hold_not_found`. */
  get(target: HoldTarget): Promise<HoldView>
  /** Newest first. Throws `account_not_found`. */
  list(accountId: string, page: HoldPage): Promise<Page<HoldView>>
}

export function createHolds(deps: HoldsDeps): Holds {
  const { ledger, reads } = deps
  const prepared = preparations(deps)
  const { prepareHold, prepareCapture, prepareRelease, prepareExtend } = prepared
  return {
    ...prepared,
    hold: async (caller, accountId, body) =>
      write(ledger, await prepareHold(caller, accountId, body)),
    capture: async (caller, target, body) =>
      write(ledger, await prepareCapture(caller, target, body)),
    release: async (caller, target, body) =>
      write(ledger, await prepareRelease(caller, target, body)),
    extend: async (caller, target, body) =>
      write(ledger, await prepareExtend(caller, target, body)),
    async get(target) {
      const found = await reads.hold(target.accountId, seqOf(target))
      if (!found) throw unknownHold()
      return viewOf(target.accountId, found, ledger.now())
    },
    async list(accountId, { limit, ...page }) {
      const found = await reads.holds(accountId, { ...page, limit: limit + 1 })
      if (found.length === 0) await mustExist(ledger, accountId)
      const { items, nextCursor } = pageOf(found, limit, ({ holdSeq }) => holdSeq)
      const now = ledger.now()
      return { items: items.map((item) => viewOf(accountId, item, now)), nextCursor }
    },
  }
}

type Preparations = Pick<
  Holds,
  'prepareHold' | 'prepareCapture' | 'prepareRelease' | 'prepareExtend'
>

function preparations({ catalogue }: HoldsDeps): Preparations {
  const request = (
    kind: Operation['kind'],
    caller: Caller,
    { accountId, holdId }: HoldTarget,
    body: ReleaseBody,
  ) => requestOf(caller, { kind, accountId, parts: [holdId], body, metadata: body.metadata })
  return {
    prepareHold: async (caller, accountId, body) => ({
      ...requestOf(caller, { kind: 'hold', accountId, body, metadata: body.metadata }),
      kind: 'hold',
      action: body.action ?? null,
      quote: await quoteOf(catalogue, body),
      ttlMs: body.ttlSeconds * 1000,
    }),
    async prepareCapture(caller, target, body) {
      const holdSeq = seqOf(target)
      const quote = await settlementOf(catalogue, body)
      return { ...request('capture', caller, target, body), kind: 'capture', holdSeq, quote }
    },
    prepareRelease(caller, target, body) {
      const holdSeq = seqOf(target)
      return { ...request('release', caller, target, body), kind: 'release', holdSeq }
    },
    prepareExtend(caller, target, body) {
      const holdSeq = seqOf(target)
      const ttlMs = body.ttlSeconds * 1000
      return { ...request('extend', caller, target, body), kind: 'extend', holdSeq, ttlMs }
    },
  }
}

type Settlement = Extract<Operation, { kind: 'capture' }>['quote']

async function settlementOf(
  catalogue: HoldsDeps['catalogue'],
  { amount, quantity, variables }: CaptureBody,
): Promise<Settlement> {
  if (amount !== undefined) return () => ({ amount, detail: null })
  if (quantity === undefined && variables === undefined) return null
  return catalogue.settlementFor({ quantity: quantity ?? 1, variables: variables ?? {} })
}

function seqOf({ accountId, holdId }: HoldTarget): number {
  const named = decodeId('hold', holdId)
  if (named?.accountId !== accountId) throw unknownHold()
  return named.seq
}

/** A hold past its deadline has expired, although the sweep may not have come yet. */
function viewOf(accountId: string, hold: Hold, nowMs: number): HoldView {
  const isDue = hold.status === 'active' && hold.expiresAtMs <= nowMs
  const { settledSeq } = hold
  return {
    holdId: encodeId('hold', accountId, hold.holdSeq),
    accountId,
    status: isDue ? 'expired' : hold.status,
    action: hold.action,
    amountHeld: hold.amount,
    amountCaptured: hold.captured,
    grants: grantsOf(accountId, hold.parts),
    expiresAt: isoOf(hold.expiresAtMs),
    createdAt: isoOf(hold.createdAtMs),
    settledBy: settledSeq === null ? null : encodeId('txn', accountId, settledSeq),
  }
}

const unknownHold = (): AppError => new AppError('hold_not_found', 'The account has no such hold')
