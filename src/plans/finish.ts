import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { AppError, hasCode } from '../errors.js'
import { SYSTEM_ACTOR } from '../ledger/draft.js'
import { digestOf, keyDigest, newKey } from '../ledger/ids.js'
import type { Ledger } from '../ledger/ledger.js'
import type { Operation, Row, TransferPart } from '../ledger/model.js'
import { DEFAULT_PRIORITY } from '../ledger/rules.js'
import {
  decideRollover,
  markDone,
  type OpenAllocation,
  postpone,
  type Written,
} from './allocation-store.js'
import { endNow } from './subscription-store.js'

export type FinishDeps = {
  readonly orm: NodePgDatabase
  readonly ledger: Pick<Ledger, 'submit'>
  /** Ms since the epoch. */
  readonly now: () => number
  /** An allocation was not written and will be tried again. */
  readonly onFault: (error: unknown, allocation: OpenAllocation) => void
}

export type Finished = {
  /** Now in the ledger, credits or not. */
  readonly done: number
  /** Of closed accounts. */
  readonly refused: number
  /** Of accounts that are closed: there will be none. */
  readonly closed: readonly string[]
  /** Tried again later; the first one's reason, null when there is none. */
  readonly failed: number
  readonly failure: unknown
}

/**
 * Writes allocations that were decided on to the ledger, then that they are there. Safe to repeat,
 * in any number of processes at once: each has a key of its own, made from account, plan and
 * period.
 */
export type Finish = (open: readonly OpenAllocation[]) => Promise<Finished>

type Ending =
  | ({ readonly kind: 'written' } & Written)
  | { readonly kind: 'failed'; readonly allocation: OpenAllocation; readonly error: unknown }

export function createFinish({ orm, ledger, now, onFault }: FinishDeps): Finish {
  /** Of one account one after another: the tier of the last one stays. */
  async function writeAll(allocations: readonly OpenAllocation[]): Promise<Ending[]> {
    const endings: Ending[] = []
    for (const allocation of allocations) endings.push(await write(allocation))
    return endings
  }

  async function write(allocation: OpenAllocation): Promise<Ending> {
    try {
      const { row } = await ledger.submit(operationOf(allocation, now()))
      return { kind: 'written', allocation, grantSeq: monthlyLotOf(row), refusal: null }
    } catch (error) {
      if (!hasCode(error, 'account_closed')) return { kind: 'failed', allocation, error }
      return { kind: 'written', allocation, grantSeq: null, refusal: error.code }
    }
  }

  /** What rolls over, told by expiry rows: those of what is due are written first. */
  async function withRollover(open: readonly OpenAllocation[]): Promise<OpenAllocation[]> {
    const undecided = open.filter(({ rolledOver }) => rolledOver === null)
    const swept = await Promise.allSettled(undecided.map(sweep))
    const ready = undecided.filter((_, index) => swept[index]?.status === 'fulfilled')
    const decided = await decideRollover(orm, ready)
    return [...open.filter(({ rolledOver }) => rolledOver !== null), ...decided].sort(byPeriod)
  }

  const sweep = ({ accountId }: OpenAllocation) =>
    ledger
      .submit({ ...requestOf(accountId, newKey()), digest: digestOf('sweep'), kind: 'sweep' })
      .catch((error: unknown) => {
        // a closed account has no more to roll over; that is for its allocation to find
        if (!hasCode(error, 'account_closed')) throw error
      })

  return async (open) => {
    const ready = await withRollover(open)
    const endings = (await Promise.all(byAccount(ready).map(writeAll))).flat()
    const written = endings.flatMap((ending) => (ending.kind === 'written' ? ending : []))
    const faults = endings.flatMap((ending) => (ending.kind === 'failed' ? ending : []))
    await markDone(orm, written, now())
    for (const { allocation, error } of faults) {
      onFault(error, allocation)
      const message = error instanceof Error ? error.message : String(error)
      await postpone(orm, allocation, { message, nowMs: now() })
    }
    const refused = written.filter(({ refusal }) => refusal !== null)
    const closed = [...new Set(refused.map(({ allocation }) => allocation.accountId))]
    await endNow(orm, closed, now())
    const unready = open.length - ready.length
    const failure = faults[0]?.error ?? (unready > 0 ? unsettled() : null)
    const counts = { done: written.length - refused.length, refused: refused.length }
    return { ...counts, closed, failed: faults.length + unready, failure }
  }
}

/** Each account's own, in their order. */
function byAccount(allocations: readonly OpenAllocation[]): OpenAllocation[][] {
  const groups = new Map<string, OpenAllocation[]>()
  for (const allocation of allocations) {
    const group = groups.get(allocation.accountId)
    if (group) group.push(allocation)
    else groups.set(allocation.accountId, [allocation])
  }
  return [...groups.values()]
}

const byPeriod = (a: OpenAllocation, b: OpenAllocation): number =>
  a.period.startMs - b.period.startMs

const unsettled = () =>
  new AppError('overloaded', 'What was left of the period before is not known yet; try again')

/** The credits of a period, as the ledger writes them: under the key of plan and period. */
function operationOf(allocation: OpenAllocation, nowMs: number): Operation {
  const { accountId, planId, tier, credits, bonus, period } = allocation
  const rolledOver = allocation.rolledOver ?? 0
  const periodStart = new Date(period.startMs).toISOString()
  const periodEnd = new Date(period.endMs).toISOString()
  const fact = `allocation:${planId}:${periodStart}`
  const lot = { priority: DEFAULT_PRIORITY, expiresAtMs: period.endMs }
  const lots: TransferPart[] = [
    { ...lot, source: 'monthly', amount: credits + rolledOver },
    { ...lot, source: 'bonus', amount: bonus },
  ]
  // one that comes after its period has nothing to say of what the account is now
  const isOver = period.endMs <= nowMs
  return {
    ...requestOf(accountId, keyDigest('fact', fact)),
    digest: digestOf(fact),
    kind: 'allocation',
    parts: lots.filter(({ amount }) => amount > 0),
    membership: isOver ? null : { tier, tierExpiresAtMs: period.endMs },
    detail: { planId, periodStart, periodEnd, credits, rolledOver },
    announce: {
      type: 'allocation.created',
      data: { planId, credits, bonus, rolledOver, periodStart, periodEnd },
    },
  }
}

const requestOf = (accountId: string, key: string) => ({
  accountId,
  key,
  actor: SYSTEM_ACTOR,
  requestId: null,
  metadata: null,
})

const monthlyLotOf = (row: Row | null): number | null =>
  row?.parts[0]?.source === 'monthly' ? row.parts[0].grantSeq : null
