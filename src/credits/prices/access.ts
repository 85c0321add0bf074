import { tierAt } from '../../ledger/draft.js'
import type { Ledger } from '../../ledger/ledger.js'
import { mustExist } from '../accounts/must-exist.js'
import type { Catalogue } from './catalogue.js'
import type { AccessView } from './quote.js'

export type AccessDeps = {
  readonly catalogue: Pick<Catalogue, 'access'>
  readonly ledger: Pick<Ledger, 'read' | 'now'>
}

export type Access = {
  /**
   * Whether a charge of the account for an action would go through now, and its price. Throws
   * `account_not_found` and `action_not_found`.
   */
  ask(accountId: string, wanted: { action: string; quantity: number }): Promise<AccessView>
}

export const createAccess = ({ catalogue, ledger }: AccessDeps): Access => ({
  async ask(accountId, { action, quantity }) {
    const account = await mustExist(ledger, accountId)
    const holder = {
      tier: tierAt(account, ledger.now()),
      available: account.balance - account.held,
      status: account.status,
    }
    return catalogue.access({ action, quantity, variables: {} }, holder)
  },
})
