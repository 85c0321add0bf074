/** What others are told of; those who write events say what stands in their data. */
export const EVENT_TYPES = [
  'balance.low',
  'account.in_debt',
  'grant.expiring',
  'allocation.created',
  'purchase.completed',
  'purchase.failed',
  'purchase.refunded',
  'purchase.disputed',
] as const
export type EventType = (typeof EVENT_TYPES)[number]
