import { AppError, accountNotFound } from '../../errors.js'
import { type Actor, reaches, type SharedAccess } from '../../http/actor.js'
import { forbidden } from '../../http/auth.js'
import { invalidField } from '../../http/validator.js'
import type { Accounts } from '../accounts/service.js'
import type { Status } from './schema.js'

/** How the credit system is run, as set; the same for everybody. */
export type Flags = {
  readonly version: 'v1' | 'v2'
  readonly enablePurchases: boolean
  readonly rollbackMode: boolean
}

/** Whether unused credits of plans roll over, and how many at most. */
export type Rollover = { readonly rollover: boolean; readonly rolloverMax: number | null }

/** Of the plan of an account, or with null of all plans that are offered. */
export type RolloverOf = (accountId: string | null) => Promise<Rollover>

export type StatusDeps = {
  readonly flags: Flags
  readonly accounts: Pick<Accounts, 'balance'>
  readonly rolloverOf: RolloverOf
}

/** Whose balance is asked for, if anybody's. */
export type Asked = {
  readonly actor: Actor
  /** The account for which an API key calls. */
  readonly endUser: string | null
  readonly accountId: string | null
}

export type CreditStatus = {
  readonly flags: Flags
  /**
   * The flags, and the balance of the account that is asked for or called for. Throws
   * `unauthenticated` and `forbidden` when the credential does not reach one that is named, and
   * `account_not_found`, also for another's account to a session.
   */
  tell(asked: Asked): Promise<Status>
}

/** What opens a balance. */
const REACH: SharedAccess = { scopes: 'credits:read', session: 'narrowed' }

export function createCreditStatus({ flags, accounts, rolloverOf }: StatusDeps): CreditStatus {
  const { version, enablePurchases, rollbackMode } = flags
  return {
    flags,
    async tell(asked) {
      const accountId = whoseBalance(asked)
      const [balance, rollover] = await Promise.all([
        accountId === null ? null : accounts.balance(accountId, undefined),
        rolloverOf(accountId),
      ])
      return { version, purchasesEnabled: enablePurchases, rollbackMode, ...rollover, balance }
    },
  }
}

function whoseBalance({ actor, endUser, accountId }: Asked): string | null {
  if (actor.kind === 'session') {
    if (accountId !== null && accountId !== actor.accountId) throw accountNotFound(accountId)
    return actor.accountId
  }
  if (endUser !== null && accountId !== null && endUser !== accountId) {
    throw invalidField('accountId', 'Must be the account that On-Behalf-Of names', 'query')
  }
  const named = accountId ?? endUser
  if (named === null || reaches(actor, REACH)) return named
  if (actor.kind === 'key') throw forbidden(actor, REACH)
  throw new AppError('unauthenticated', 'A balance is told to sessions and API keys alone')
}
