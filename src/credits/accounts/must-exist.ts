import { AppError } from '../../errors.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { AccountState } from '../../ledger/model.js'

/** The account as of now; throws `account_not_found`. */
export async function mustExist(
  ledger: Pick<Ledger, 'read'>,
  accountId: string,
): Promise<AccountState> {
  return (await ledger.read(accountId)) ?? notFound(accountId)
}

function notFound(accountId: string): never {
  throw new AppError('account_not_found', `No account ${accountId} has been opened`)
}
