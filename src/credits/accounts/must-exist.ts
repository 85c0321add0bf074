import { accountNotFound } from '../../errors.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { AccountState } from '../../ledger/model.js'

/** The account as of now; throws `account_not_found`. */
export async function mustExist(
  ledger: Pick<Ledger, 'read'>,
  accountId: string,
): Promise<AccountState> {
  const state = await ledger.read(accountId)
  if (state === null) throw accountNotFound(accountId)
  return state
}
