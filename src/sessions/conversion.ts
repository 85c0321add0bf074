import { AppError, accountNotFound, hasCode } from '../errors.js'
import { digestOf, keyDigest, newKey } from '../ledger/ids.js'
import type { Ledger } from '../ledger/ledger.js'
import type { Request } from '../ledger/model.js'
import type { Upkeep } from '../ledger/upkeep.js'
import type { Guests } from './guests.js'
import type { SessionCaller, Sessions } from './service.js'

/** When the job takes over from a call that died on the way: longer than a call may take. */
const CALL_MS = 60_000
/** Others may spend while the credits leave; after that many times, the job goes on. */
const MAX_MOVES = 5

export type ConversionDeps = {
  readonly ledger: Pick<Ledger, 'read' | 'submit'>
  readonly upkeep: Pick<Upkeep, 'finishTransfer'>
  readonly guests: Guests
  readonly sessions: Pick<Sessions, 'revokeAll'>
  /** Ms since the epoch. */
  readonly now: () => number
}

export type Conversion = {
  /**
   * Makes a guest's account over to a user's, once and for good: its credits move there, its
   * sessions end, and it closes. What a hold has reserved follows when that is settled. Should we
   * die on the way, the job goes on. Throws `account_not_found` and
   * `account_closed` for the user's account, `account_frozen` for a frozen guest's, and
   * `already_converted` when it went elsewhere. Safe to repeat.
   */
  convert(caller: SessionCaller, from: string, to: string): Promise<void>
  /** Goes on with a conversion; whether it is done. Safe to repeat. */
  proceed(caller: SessionCaller, from: string, to: string): Promise<boolean>
  /**
   * Closes the account of a guest who left, with its sessions; false: it has credits, and stays.
   * Safe to repeat.
   */
  close(caller: SessionCaller, accountId: string): Promise<boolean>
}

export function createConversion(deps: ConversionDeps): Conversion {
  const { ledger, guests, sessions, now } = deps

  async function close(
    caller: SessionCaller,
    accountId: string,
    ifEmpty: boolean,
  ): Promise<boolean> {
    await sessions.revokeAll(accountId)
    const request = requestOf(caller, accountId)
    try {
      // decided with what is there then: since the last look, somebody may have granted
      const { state } = await ledger.submit({ ...request, kind: 'close', ifEmpty })
      if (state?.status !== 'closed') return false
    } catch (error) {
      if (!hasCode(error, 'account_not_found')) throw error
    }
    await guests.finish(accountId)
    return true
  }

  async function proceed(caller: SessionCaller, from: string, to: string): Promise<boolean> {
    const receiver = await ledger.read(to)
    const canReceive = receiver !== null && receiver.status !== 'closed'
    const left = canReceive ? await moveAll(deps, caller, from, to) : 0
    // what came to a guest whose user is gone stays where it is, as it would have there
    if (left === 0) return close(caller, from, canReceive)
    await sessions.revokeAll(from)
    return false
  }

  return {
    async convert(caller, from, to) {
      await mustReceive(deps, to)
      const giver = await ledger.read(from)
      if (giver?.status === 'frozen') {
        throw new AppError('account_frozen', "The guest's account is frozen")
      }
      if (!(await guests.convert(from, to, now() + CALL_MS))) {
        throw new AppError('already_converted', 'The guest has become another user, or has ended')
      }
      await proceed(caller, from, to)
    },
    proceed,
    close: (caller, accountId) => close(caller, accountId, true),
  }
}

async function mustReceive({ ledger, guests }: ConversionDeps, to: string): Promise<void> {
  const receiver = await ledger.read(to)
  if (receiver === null) throw accountNotFound(to)
  if (receiver.status === 'closed') {
    throw new AppError('account_closed', `The account ${to} is closed`)
  }
  if ((await guests.get(to)) !== null) {
    throw new AppError('forbidden', 'A guest can become a user, not another guest')
  }
}

/**
 * Moves all that is available, as often as something is: somebody may spend or grant meanwhile.
 * Gives what is left.
 */
async function moveAll(
  { ledger, upkeep }: ConversionDeps,
  caller: SessionCaller,
  from: string,
  to: string,
): Promise<number> {
  for (let move = 0; ; move += 1) {
    const state = await ledger.read(from)
    if (state === null || state.status === 'closed') return 0
    const amount = state.balance - state.held
    if (amount === 0 || move === MAX_MOVES) return state.balance
    // two at once who saw the same account write one row
    const fact = `conversion:${from}:${to}:${state.seq}:${amount}`
    const request = { ...requestOf(caller, from), key: keyDigest('fact', fact) }
    try {
      const operation = { ...request, digest: digestOf(fact), kind: 'transfer_out' as const }
      const { row } = await ledger.submit({ ...operation, to, amount })
      // the debit stands: should this fail, what is pending is tried again beside us
      if (row !== null) await upkeep.finishTransfer(from, row.seq).catch(() => null)
    } catch (error) {
      if (!hasCode(error, 'insufficient_credits') && !hasCode(error, 'account_closed')) throw error
    }
  }
}

const requestOf = ({ actor, requestId }: SessionCaller, accountId: string): Request => ({
  accountId,
  key: newKey(),
  digest: digestOf('conversion'),
  actor,
  requestId,
  metadata: null,
})
