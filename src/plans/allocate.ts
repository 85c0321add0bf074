import type { Database } from '../db/open.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { takeOpen } from './allocation-store.js'
import type { Finish, Finished } from './finish.js'
import { dueOf, settle } from './settle.js'
import { countDue, listDue, lockDue } from './subscription-store.js'

/** Accounts that are allocated to at once; the lanes take up to 200 operations a batch. */
const PAGE = 500
/** While one page is written to the ledger, another is decided on. */
const AT_ONCE = 2
/** Ten million accounts: a run goes on until nothing is due, or its time is up. */
const MAX_PAGES = 20_000
const DEADLINE_MS = 10_000

export type AllocateReport = {
  /** Subscriptions that were looked at. */
  readonly subscriptions: number
  readonly allocated: number
  /** They are tried again later. */
  readonly failed: number
}

export type DryReport = {
  readonly subscriptions: number
  readonly allocations: number
  readonly credits: number
  readonly bonus: number
}

export type Allocate = {
  /**
   * Allocates what is due, page by page until nothing is, and finishes what others left undone.
   * Safe to run at once in any number of processes. It ends after its page when `signal` is
   * aborted. Throws the first failure that is none of a single account, after its page.
   */
  run(signal?: AbortSignal, onProgress?: (report: AllocateReport) => void): Promise<AllocateReport>
  /** What `run` would allocate now, without what rolls over; writes nothing. */
  preview(): Promise<DryReport>
  /** How many subscriptions are due. */
  count(): Promise<number>
}

export type AllocateDeps = {
  readonly db: Database
  readonly finish: Finish
  /** Ms since the epoch. */
  readonly now: () => number
}

type Page = { readonly subscriptions: number; readonly finished: Finished }

export function createAllocate(deps: AllocateDeps): Allocate {
  const { db, finish, now } = deps

  async function finishLeftOver(): Promise<Page> {
    const open = await takeOpen(db.orm, now(), PAGE)
    return { subscriptions: 0, finished: await finish(open) }
  }

  async function allocatePage(): Promise<Page> {
    const nowMs = now()
    const { subscriptions, open } = await inTransaction(
      db,
      async (tx) => {
        const due = await lockDue(tx, nowMs, PAGE)
        return { subscriptions: due.length, open: await settle(tx, due, { nowMs }) }
      },
      { deadlineMs: DEADLINE_MS, isRepeatable: true },
    )
    return { subscriptions, finished: await finish(open) }
  }

  return {
    async run(signal, onProgress = () => {}) {
      const total = { subscriptions: 0, allocated: 0, failed: 0 }
      const pages = createBudget(MAX_PAGES, signal)
      const note = ({ subscriptions, finished }: Page) => {
        total.subscriptions += subscriptions
        total.allocated += finished.done
        total.failed += finished.failed
        onProgress(total)
        if (isHalt(finished.failure)) throw finished.failure
      }
      const work = async (): Promise<void> => {
        while (pages.take()) {
          const page = await allocatePage()
          note(page)
          if (page.subscriptions === 0) return
        }
      }
      const finishing = async (): Promise<void> => {
        while (pages.take()) {
          const page = await finishLeftOver()
          note(page)
          const { done: written, refused, failed } = page.finished
          if (written + refused + failed === 0) return
        }
      }
      await finishing()
      const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, work))
      const failed = results.find((result) => result.status === 'rejected')
      if (failed) throw failed.reason
      return total
    },

    async preview() {
      const report = { subscriptions: 0, allocations: 0, credits: 0, bonus: 0 }
      let after = ''
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const nowMs = now()
        const due = await listDue(db.readOrm, { nowMs, after, limit: PAGE })
        const { allocations } = await dueOf(db.readOrm, due, { nowMs })
        report.subscriptions += due.length
        report.allocations += allocations.length
        for (const { credits, bonus } of allocations) {
          report.credits += credits
          report.bonus += bonus
        }
        after = due.at(-1)?.accountId ?? after
        if (due.length < PAGE) break
      }
      return report
    },

    count: () => countDue(db.readOrm, now()),
  }
}

/** What an account refuses is its own; anything else the next ones would meet as well. */
const isHalt = (failure: unknown): boolean =>
  failure !== null && (!(failure instanceof AppError) || failure.status >= 500)

const createBudget = (pages: number, signal?: AbortSignal) => {
  let left = pages
  return {
    take(): boolean {
      left -= 1
      return left >= 0 && !signal?.aborted
    },
  }
}
