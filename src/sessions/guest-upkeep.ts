import type { Ledger } from '../ledger/ledger.js'
import type { Conversion } from './conversion.js'
import type { Guest, Guests } from './guests.js'

/** Looked at together; each costs a read or a few writes. */
const PAGE = 50
/** One run takes on at most a hundred thousand; the next comes soon. */
const MAX_PAGES = 2_000
/** Holds are settled within minutes, as a rule. */
const CONVERTED_AGAIN_MS = 5 * 60_000
/** Credits that nobody fetched wait for their guest, or for the operator. */
const FULL_AGAIN_MS = 24 * 3_600_000
const FAILED_AGAIN_MS = 60_000

export type GuestUpkeepDeps = {
  readonly guests: Guests
  readonly conversion: Pick<Conversion, 'proceed' | 'close'>
  readonly ledger: Pick<Ledger, 'read'>
  /** Ms since the epoch. */
  readonly now: () => number
  /** A guest's account could not be dealt with and will be tried again. */
  readonly onFault: (error: unknown, accountId: string) => void
}

/** The job is who asks. */
const SYSTEM = { actor: 'system', requestId: 'sessions.guests' } as const

/**
 * Finishes conversions that were cut off, and closes the accounts of guests who are gone and have
 * nothing; gives how many it closed. An account with credits stays. Safe to run at the same time
 * as anything else. It ends after its page when `signal` is aborted.
 */
export function createGuestUpkeep(
  deps: GuestUpkeepDeps,
): (signal?: AbortSignal) => Promise<number> {
  const { guests, now, onFault } = deps

  async function tend(guest: Guest): Promise<boolean> {
    try {
      const againMs = await tendOne(deps, guest)
      if (againMs === null) return true
      await guests.postpone(guest, now() + againMs)
    } catch (error) {
      onFault(error, guest.accountId)
      await guests.postpone(guest, now() + FAILED_AGAIN_MS)
    }
    return false
  }

  return async (signal) => {
    let closed = 0
    for (let page = 0; page < MAX_PAGES && !signal?.aborted; page += 1) {
      const due = await guests.due(PAGE)
      const done = await Promise.all(due.map(tend))
      closed += done.filter(Boolean).length
      if (due.length < PAGE) break
    }
    return closed
  }
}

/** When to look again, in ms; null: never. */
async function tendOne(
  { conversion, ledger }: GuestUpkeepDeps,
  { accountId, convertedTo }: Guest,
): Promise<number | null> {
  if (convertedTo !== null) {
    const isDone = await conversion.proceed(SYSTEM, accountId, convertedTo)
    return isDone ? null : CONVERTED_AGAIN_MS
  }
  const state = await ledger.read(accountId)
  if (state !== null && state.balance > 0 && state.status !== 'closed') return FULL_AGAIN_MS
  return (await conversion.close(SYSTEM, accountId)) ? null : FULL_AGAIN_MS
}
