import type { Database } from '../db/open.js'
import { inTransaction } from '../db/transaction.js'
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
  openOfAccount,
  postpone,
  type Written,
} from './allocation-store.js'
import { follow } from './billed.js'
import { endNow, readSubscription } from './subscription-store.js'

const DEADLINE_MS = 5_000

export type FinishDeps = {
  readonly db: Pick<Database, 'orm' | 'pool'>
  readonly ledger: Pick<Ledger, 'submit'>
  /** The account that gets what was for an account: a user whom a guest has become. */
  readonly payeeOf: (accountId: string) => Promise<string>
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

type Fault = {
  readonly kind: 'failed'
  readonly allocation: OpenAllocation
  readonly error: unknown
}
type Ending = ({ readonly kind: 'written' } & Written) | Fault

export function createFinish({ db, ledger, payeeOf, now, onFault }: FinishDeps): Finish {
  const { orm } = db

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

  /** A guest that became a user is closed: what was for it follows the user. */
  async function followAll(accountIds: readonly string[]): Promise<string[]> {
    const users: string[] = []
    for (const accountId of accountIds) {
      const to = await payeeOf(accountId)
      const guest = to === accountId ? null : await readSubscription(orm, accountId)
      if (guest === null) continue
      const options = { deadlineMs: DEADLINE_MS, isRepeatable: true }
      await inTransaction(db, (tx) => follow(tx, guest, to, now()), options)
      users.push(to)
    }
    return users
  }

  async function note(faults: readonly Fault[]): Promise<void> {
    for (const { allocation, error } of faults) {
      onFault(error, allocation)
      const message = error instanceof Error ? error.message : String(error)
      await postpone(orm, allocation, { message, nowMs: now() })
    }
  }

  return async function finish(open) {
    const ready = await withRollover(open)
    const endings = (await Promise.all(byAccount(ready).map(writeAll))).flat()
    const written = endings.flatMap((ending) => (ending.kind === 'written' ? ending : []))
    const faults = endings.flatMap((ending) => (ending.kind === 'failed' ? ending : []))
    const refused = written.filter(({ refusal }) => refusal !== null)
    const closed = [...new Set(refused.map(({ allocation }) => allocation.accountId))]
    // before it is noted as done: after a crash in between it is refused, and followed, again
    const users = await followAll(closed)
    await markDone(orm, written, now())
    await note(faults)
    await endNow(orm, closed, now())
    const unready = open.length - ready.length
    const counts = { done: written.length - refused.length, refused: refused.length }
    const failure = faults[0]?.error ?? (unready > 0 ? unsettled() : null)
    const finished = { ...counts, closed, failed: faults.length + unready, failure }
    const followed: Finished[] = []
    for (const user of users) followed.push(await finish(await openOfAccount(orm, user)))
    return followed.reduce(together, finished)
  }
}

const together = (a: Finished, b: Finished): Finished => ({
  done: a.done + b.done,
  refused: a.refused + b.refused,
  closed: a.closed,
  failed: a.failed + b.failed,
  failure: a.failure ?? b.failure,
})

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
