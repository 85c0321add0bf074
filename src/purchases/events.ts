import type { Announcement } from '../ledger/model.js'
import type { OutboxEvent } from '../ledger/outbox.js'
import type { Standing } from './state.js'
import type { Purchase } from './store.js'

/** What others are told when the credits of a purchase are granted. */
export const completedEvent = (purchase: Purchase, accountId: string): Announcement => ({
  type: 'purchase.completed',
  data: { accountId, ...soldOf(purchase), credits: purchase.credits },
})

/** What others are told of a claw-back that is under way. */
export const refundedEvent = (
  purchase: Purchase,
  { status }: Standing,
  accountId: string,
): Announcement => ({
  type: 'purchase.refunded',
  data: {
    accountId,
    ...soldOf(purchase),
    refundedAmount: purchase.refundedAmount,
    creditsClawedBack: purchase.clawBackTarget,
    status,
  },
})

/** What others are told when a purchase comes to rest and no row of the ledger has told it. */
export function standingEvents(
  purchase: Purchase,
  { status, refundedAmount, target }: Standing,
  nowMs: number,
): readonly OutboxEvent[] {
  const accountId = purchase.grantedTo ?? purchase.accountId
  const eventOf = (type: string, id: string, more: Announcement['data']): OutboxEvent => ({
    ...{ accountId, id, type, createdAtMs: nowMs },
    data: { accountId, ...soldOf(purchase), ...more, status },
  })
  const hasBecome = (other: Standing['status']) => status === other && purchase.status !== other
  const { id, version } = purchase
  return [
    ...(hasBecome('failed') ? [eventOf('purchase.failed', `failed:${id}`, {})] : []),
    ...(hasBecome('disputed')
      ? [eventOf('purchase.disputed', `disputed:${id}:${version}`, { creditsClawedBack: target })]
      : []),
    ...(refundedAmount === purchase.announcedRefund
      ? []
      : [
          eventOf('purchase.refunded', `refunded:${id}:${version}`, {
            refundedAmount,
            creditsClawedBack: purchase.grantSeq === null ? 0 : target,
          }),
        ]),
  ]
}

const soldOf = ({ id, packageId, amount, currency }: Purchase) => ({
  purchaseId: id,
  packageId,
  amount,
  currency,
})
