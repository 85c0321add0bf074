import type pg from 'pg'
import { hasCode } from '../errors.js'
import { SYSTEM_ACTOR } from './draft.js'
import { digestOf, keyDigest, newKey } from './ids.js'
import type { Ledger } from './ledger.js'
import type { Operation, Outcome, Request, TransferPart } from './model.js'
import type { LedgerReads } from './reads.js'

const SWEEP_ACCOUNTS = 1000
const MAX_SWEEP_PAGES = 1000
/** What one run takes on; the next run comes soon. */
const PENDING_ROWS = 200
/** A failed attempt waits 2^n seconds, at most this long. */
const MAX_RETRY_SECONDS = 3600

export type Upkeep = {
  /**
   * Writes the expiry of lots and holds that are due, page by page until nothing is; returns how
   * many accounts it settled. It ends after its page when `signal` is aborted. Throws the first
   * failure, after it has settled what else it could.
   */
  sweep(signal?: AbortSignal): Promise<number>
  /** Credits the other side of a transfer whose debit is row `fromSeq`. Safe to repeat. */
  finishTransfer(from: string, fromSeq: number): Promise<Outcome | null>
  /** Finishes work that a crash left behind; returns how many pieces it finished. */
  finishPending(): Promise<number>
}

export type UpkeepDeps = {
  readonly pool: pg.Pool
  readonly ledger: Pick<Ledger, 'submit'>
  readonly reads: Pick<LedgerReads, 'dueAccounts'>
  /** A piece of work failed and will be tried again. */
  onFault(error: unknown, work: { accountId: string; id: string }): void
  /** The accounts of one page of a sweep, which are settled at once. */
  readonly sweepAccounts?: number
}

type Transfer = {
  readonly from: string
  readonly fromSeq: number
  readonly to: string
  readonly parts: readonly TransferPart[]
}

type Work = { readonly account_id: string; readonly id: string; readonly payload: Transfer }

/** What time and crashes leave to do. Every piece may run twice, on any number of instances. */
export function createUpkeep(deps: UpkeepDeps): Upkeep {
  const { pool, ledger, reads, onFault, sweepAccounts = SWEEP_ACCOUNTS } = deps

  async function sweep(signal?: AbortSignal): Promise<number> {
    const failures: unknown[] = []
    let settled = 0
    let before = new Set<string>()
    for (let page = 0; page < MAX_SWEEP_PAGES && !signal?.aborted; page += 1) {
      const due = await reads.dueAccounts(sweepAccounts)
      // what is still due after it was settled would be due for ever
      if (due.every((accountId) => before.has(accountId))) break
      const results = await Promise.allSettled(due.map(settle))
      for (const result of results) {
        if (result.status === 'fulfilled') settled += 1
        else if (failures.length === 0) failures.push(result.reason)
      }
      before = new Set(due)
    }
    if (failures.length > 0) throw failures[0]
    return settled
  }

  const settle = (accountId: string): Promise<Outcome> => {
    const request = { ...systemRequest(accountId, newKey()), digest: digestOf('sweep') }
    return ledger.submit({ ...request, kind: 'sweep' })
  }

  async function finishTransfer(from: string, fromSeq: number): Promise<Outcome | null> {
    const { rows } = await pool.query<Work>({
      text: `
        select account_id, id, payload from pending_work
         where account_id = $1 and id = $2`,
      values: [from, `transfer:${fromSeq}`],
    })
    return rows[0] ? finish(rows[0]) : null
  }

  async function finishPending(): Promise<number> {
    const { rows } = await pool.query<Work>({
      text: `
        select account_id, id, payload from pending_work
         where kind = 'transfer' and next_attempt_at <= now()
         order by next_attempt_at
         limit $1`,
      values: [PENDING_ROWS],
    })
    const finishing = rows.map(async (work) => {
      try {
        await finish(work)
        return 1
      } catch (error) {
        onFault(error, { accountId: work.account_id, id: work.id })
        await postpone(work, error)
        return 0
      }
    })
    const finished = await Promise.all(finishing)
    return finished.reduce<number>((sum, n) => sum + n, 0)
  }

  async function finish(work: Work): Promise<Outcome> {
    const outcome = await creditOrReturn(work.payload)
    const text = 'delete from pending_work where account_id = $1 and id = $2'
    await pool.query({ text, values: [work.account_id, work.id] })
    return outcome
  }

  /**
   * Only a closed account sends the credits back: it stays closed, so that no other attempt can
   * still credit it. Whatever else it refuses may pass, and is tried again.
   */
  async function creditOrReturn(transfer: Transfer): Promise<Outcome> {
    try {
      return await ledger.submit(creditOf(transfer, 'transfer_in'))
    } catch (error) {
      if (!hasCode(error, 'account_closed')) throw error
      return ledger.submit(creditOf(transfer, 'transfer_return'))
    }
  }

  async function postpone(work: Work, error: unknown): Promise<void> {
    const message = error instanceof Error ? error.message : String(error)
    await pool.query({
      text: `
        update pending_work
           set attempts = least(attempts + 1, 100),
               last_error = left($3, 500),
               next_attempt_at = now() + least(2 ^ least(attempts, 20), $4) * interval '1 second'
         where account_id = $1 and id = $2`,
      values: [work.account_id, work.id, message, MAX_RETRY_SECONDS],
    })
  }

  return { sweep, finishTransfer, finishPending }
}

function creditOf(
  { from, fromSeq, to, parts }: Transfer,
  kind: 'transfer_in' | 'transfer_return',
): Operation {
  const fact = `${kind}:${from}:${fromSeq}`
  const request = systemRequest(kind === 'transfer_in' ? to : from, keyDigest('fact', fact))
  const other = kind === 'transfer_in' ? from : to
  return { ...request, digest: digestOf(fact), kind, from: other, parts }
}

const systemRequest = (accountId: string, key: string): Omit<Request, 'digest'> => ({
  accountId,
  key,
  actor: SYSTEM_ACTOR,
  requestId: null,
  metadata: null,
})
