import { encodeId } from '../ledger/ids.js'
import type { PurchaseView } from './schema.js'
import type { Purchase } from './store.js'

/** A purchase as clients see it. */
export function viewOf(purchase: Purchase): PurchaseView {
  const { checkoutUrl, paymentId, grantedTo, grantSeq, problem, completedAt, expiresAt } = purchase
  const isOpen = purchase.status === 'pending'
  return {
    purchaseId: purchase.id,
    accountId: purchase.accountId,
    packageId: purchase.packageId,
    provider: purchase.provider,
    status: purchase.status,
    ...(isOpen && checkoutUrl !== null && { checkoutUrl }),
    ...(paymentId !== null && { paymentIntentId: paymentId }),
    credits: purchase.credits,
    amount: purchase.amount,
    currency: purchase.currency,
    refundedAmount: purchase.refundedAmount,
    creditsClawedBack: clawedBackOf(purchase),
    ...(grantedTo !== null &&
      grantSeq !== null && { grantId: encodeId('gr', grantedTo, grantSeq) }),
    ...(problem !== null && { problem }),
    createdAt: purchase.createdAt.toISOString(),
    updatedAt: purchase.updatedAt.toISOString(),
    ...(completedAt !== null && { completedAt: completedAt.toISOString() }),
    ...(isOpen && expiresAt !== null && { expiresAt: expiresAt.toISOString() }),
  }
}

/** While a claw-back is under way, or can not be done, what it would come to is not told. */
const clawedBackOf = ({ clawBackStep, clawBackDoneStep, clawBackTarget }: Purchase): number =>
  clawBackStep === clawBackDoneStep ? clawBackTarget : 0
