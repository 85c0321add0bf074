import { hasCode } from '../errors.js'
import type { Ledger } from '../ledger/ledger.js'
import { actOf } from './ledger-request.js'
import type { Purchase, PurchaseStore } from './store.js'

export type FreezingDeps = {
  readonly store: Pick<PurchaseStore, 'get' | 'update' | 'isFrozenForAnother'>
  readonly ledger: Pick<Ledger, 'submit' | 'read'>
}

/**
 * Freezing leaves no row and so has no key. The intention is noted before, so that what we froze
 * is told apart from what others did.
 */
export async function changeFreeze(
  { ledger, store }: FreezingDeps,
  purchase: Purchase,
  step: 'begin_freeze' | 'freeze' | 'unfreeze',
): Promise<void> {
  const accountId = purchase.grantedTo ?? purchase.accountId
  if (step === 'begin_freeze') {
    const state = await ledger.read(accountId)
    const isOurs = state?.status === 'active' || (await store.isFrozenForAnother(purchase))
    await store.update(purchase, { freeze: isOurs ? 'freezing' : 'others' })
    return
  }
  const isLast = purchase.freeze === 'frozen' && !(await store.isFrozenForAnother(purchase))
  if (step === 'freeze' || isLast) await changeStatus(ledger, accountId, step)
  const done = await store.update(purchase, { freeze: step === 'freeze' ? 'frozen' : null })
  if (done !== null) return
  // whoever was faster may have thought otherwise, and been earlier in the ledger
  const latest = (await store.get(purchase.id))?.freeze ?? null
  if (step === 'freeze' && latest === null) await changeStatus(ledger, accountId, 'unfreeze')
  if (step === 'unfreeze' && latest === 'frozen') await changeStatus(ledger, accountId, 'freeze')
}

async function changeStatus(
  ledger: FreezingDeps['ledger'],
  accountId: string,
  kind: 'freeze' | 'unfreeze',
): Promise<void> {
  try {
    await ledger.submit({ ...actOf(accountId, kind), kind })
  } catch (error) {
    // nothing can be spent from a closed one any more
    if (!hasCode(error, 'account_closed')) throw error
  }
}
