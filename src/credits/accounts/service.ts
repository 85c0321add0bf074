import { AppError } from '../../errors.js'
import type { Caller } from '../../http/once.js'
import { type Page, pageOf } from '../../http/page.js'
import { isoOf, msOf } from '../../http/schema.js'
import { invalidField } from '../../http/validator.js'
import { tierAt } from '../../ledger/draft.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { AccountState, Operation, Outcome } from '../../ledger/model.js'
import { balanceOf, type LedgerReads } from '../../ledger/reads.js'
import type { Catalogue } from '../prices/catalogue.js'
import { requestOf } from '../request.js'
import { mustExist } from './must-exist.js'
import type { AccountSearch, Profile, Profiles } from './profiles.js'
import type { Account, AccountBody, Balance, MembershipBody } from './schema.js'

/** A page of accounts is read account by account; this many at a time, so that writes go on. */
const READS_AT_ONCE = 8

export type AccountsDeps = {
  readonly ledger: Ledger
  readonly reads: LedgerReads
  readonly profiles: Profiles
  readonly catalogue: Pick<Catalogue, 'hasTier'>
  /** Whole credits that every new account begins with; 0: none. */
  readonly signupBonus: number
  /** Told of every account that was closed, also again; when it fails, so does the call. */
  readonly onClosed: (accountId: string) => Promise<unknown>
}

export type Accounts = {
  /**
   * Opens the account, with its signup bonus once, or changes what is known of it. Throws
   * `account_closed`. Safe to repeat.
   */
  put(
    caller: Caller,
    accountId: string,
    body: AccountBody,
  ): Promise<{ account: Account; isNew: boolean }>
  /** Throws `account_not_found`. */
  get(accountId: string): Promise<Account>
  /** By id. */
  list(search: Omit<AccountSearch, 'nowMs'>): Promise<Page<Account>>
  /** Now, or as it was at an instant. Throws `account_not_found`, also when it was opened later. */
  balance(accountId: string, at: string | undefined): Promise<Balance>
  /** Closes for good: holds are released, every later write is refused. Safe to repeat. */
  close(caller: Caller, accountId: string): Promise<Account>
  /** A frozen account can not spend. Throws `account_closed`. Safe to repeat. */
  freeze(caller: Caller, accountId: string): Promise<Account>
  unfreeze(caller: Caller, accountId: string): Promise<Account>
  /** Sets or ends the membership; no credit changes. Throws `account_closed`. Safe to repeat. */
  setMembership(caller: Caller, accountId: string, body: MembershipBody): Promise<Account>
}

export function createAccounts(deps: AccountsDeps): Accounts {
  const { ledger, profiles } = deps
  const administer = administerWith(deps)
  return {
    async put(caller, accountId, body) {
      const { signupBonus } = deps
      const request = asked(caller, 'open', accountId, {})
      const state = stateAfter(await ledger.submit({ ...request, kind: 'open', signupBonus }))
      const times = { openedAtMs: state.createdAtMs, nowMs: ledger.now() }
      const { isNew } = await profiles.put(accountId, body, times)
      return { account: await getWith(deps, accountId), isNew }
    },
    get: (accountId) => getWith(deps, accountId),
    list: (search) => listWith(deps, search),
    balance: (accountId, at) => balanceWith(deps, accountId, at),
    async close(caller, accountId) {
      const account = await administer(caller, { kind: 'close', accountId })
      await deps.onClosed(accountId)
      return account
    },
    freeze: (caller, accountId) => administer(caller, { kind: 'freeze', accountId }),
    unfreeze: (caller, accountId) => administer(caller, { kind: 'unfreeze', accountId }),
    async setMembership(caller, accountId, { tier, expiresAt }) {
      if (tier !== null && !(await deps.catalogue.hasTier(tier))) {
        throw invalidField('tier', `There is no tier ${tier}`)
      }
      const tierExpiresAtMs = tier === null ? null : msOf(expiresAt)
      return administer(caller, { kind: 'membership', accountId, tier, tierExpiresAtMs })
    },
  }
}

/** These leave no row, so the ledger keeps no key for them; repeating them changes nothing. */
const asked = (caller: Caller, kind: Operation['kind'], accountId: string, body: unknown) =>
  requestOf({ ...caller, idempotencyKey: null }, { kind, accountId, body })

function stateAfter({ state }: Outcome): AccountState {
  if (state === null) throw new Error('a key made for this call was used before')
  return state
}

type Act =
  | { readonly kind: 'close' | 'freeze' | 'unfreeze'; readonly accountId: string }
  | {
      readonly kind: 'membership'
      readonly accountId: string
      readonly tier: string | null
      readonly tierExpiresAtMs: number | null
    }

const administerWith =
  ({ ledger, profiles }: AccountsDeps) =>
  async (caller: Caller, act: Act): Promise<Account> => {
    const request = asked(caller, act.kind, act.accountId, act)
    const state = stateAfter(await ledger.submit({ ...request, ...act }))
    const known = await profiles.get([act.accountId])
    return viewOf(state, known.get(act.accountId), ledger.now())
  }

async function getWith({ ledger, profiles }: AccountsDeps, accountId: string): Promise<Account> {
  const [state, known] = await Promise.all([
    mustExist(ledger, accountId),
    profiles.get([accountId]),
  ])
  return viewOf(state, known.get(accountId), ledger.now())
}

async function listWith(
  { ledger, profiles }: AccountsDeps,
  search: Omit<AccountSearch, 'nowMs'>,
): Promise<Page<Account>> {
  const found = await profiles.search({
    ...search,
    limit: search.limit + 1,
    nowMs: ledger.now(),
  })
  const { items, nextCursor } = pageOf(found, search.limit, (id) => id)
  const known = await profiles.get(items)
  const states: AccountState[] = []
  for (let at = 0; at < items.length; at += READS_AT_ONCE) {
    const some = items.slice(at, at + READS_AT_ONCE)
    states.push(...(await Promise.all(some.map((id) => mustExist(ledger, id)))))
  }
  const now = ledger.now()
  return { items: states.map((s) => viewOf(s, known.get(s.accountId), now)), nextCursor }
}

async function balanceWith(
  { ledger, reads }: AccountsDeps,
  accountId: string,
  at: string | undefined,
): Promise<Balance> {
  const atMs = msOf(at)
  const isNow = atMs === null || atMs >= ledger.now()
  const view = isNow
    ? balanceOf(await mustExist(ledger, accountId))
    : await reads.balanceAt(accountId, atMs)
  if (view === null) {
    throw new AppError('account_not_found', `Account ${accountId} was not open then`)
  }
  return { ...view, buckets: { ...view.buckets } }
}

function viewOf(state: AccountState, profile: Profile | undefined, nowMs: number): Account {
  return {
    accountId: state.accountId,
    email: profile?.email ?? null,
    status: state.status,
    membershipTier: tierAt(state, nowMs),
    membershipExpiresAt: isoOf(state.tierExpiresAtMs),
    balance: state.balance,
    metadata: profile?.metadata ?? null,
    createdAt: isoOf(state.createdAtMs),
    updatedAt: isoOf(Math.max(state.updatedAtMs, profile?.updatedAtMs ?? 0)),
  }
}
