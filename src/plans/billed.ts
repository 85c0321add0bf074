import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Transaction } from '../db/transaction.js'
import { addAllocations } from './allocation-store.js'
import { keyOf, knownOf, type Link, linksOf, moveLinks } from './provider-store.js'
import { dueOf, settle } from './settle.js'
import { isOver, type Subscription, scheduleOf } from './standing.js'
import { endNow, freshSubscription, lockOrMake } from './subscription-store.js'

export type News = {
  readonly accountId: string
  readonly planId: string
  /** Of which something new was heard. */
  readonly link: Link
  readonly nowMs: number
  readonly isPaidNow: boolean
}

/**
 * What follows from news of a provider's subscription: what it brings now, and which one is the
 * account's, in the caller's transaction. What is to be allocated is left open there.
 */
export async function credit(tx: Transaction, news: News): Promise<void> {
  const { accountId, planId, nowMs, isPaidNow } = news
  const link = { provider: news.link.provider, subscriptionId: news.link.subscriptionId }
  const fresh = freshSubscription({ ...news, planId, link })
  const { subscription, isNew } = await lockOrMake(tx, fresh)
  const chosen = await choose(tx, accountId, nowMs)
  const isOwn = subscription.link === null && !isNew && !isOver(subscription, nowMs)
  if (isPaidNow && chosen !== null && keyOf(chosen.link) !== keyOf(link)) {
    // of two that are paid for at once, each brings what was paid
    const { allocations } = await dueOf(tx, [{ ...subscription, link }], { nowMs, isPaidNow })
    await addAllocations(tx, allocations, nowMs)
  }
  if (isOwn && !chosen?.isLive) return
  const current = chosen?.link ?? link
  await settle(tx, [{ ...subscription, link: current }], { nowMs, isPaidNow })
}

/** Lets what a provider bills for a guest go to the user whom the guest has become. */
export async function follow(
  tx: Transaction,
  guest: Subscription,
  to: string,
  nowMs: number,
): Promise<void> {
  await endNow(tx, [guest.accountId], nowMs)
  await moveLinks(tx, guest.accountId, to)
  const { planId, link } = guest
  if (link !== null) {
    await credit(tx, { accountId: to, planId, link, nowMs, isPaidNow: false })
    return
  }
  const { subscription, isNew } = await lockOrMake(tx, { ...guest, accountId: to })
  if (isNew) await settle(tx, [{ ...guest, accountId: to, status: subscription.status }], { nowMs })
}

type Chosen = { readonly link: Link; readonly isLive: boolean; readonly sinceMs: number }

/** The one that is paid for now; of several the one that was begun or renewed last. */
async function choose(
  on: NodePgDatabase,
  accountId: string,
  nowMs: number,
): Promise<Chosen | null> {
  const links = await linksOf(on, accountId)
  const known = await knownOf(on, links)
  const candidates = links.map((link): Chosen => {
    const { reading, payments = [] } = known.get(keyOf(link)) ?? {}
    const schedule = scheduleOf(payments, nowMs)
    const isPaid = schedule !== null && schedule.paidUntilMs > nowMs
    const isLive = isPaid && reading?.status !== 'canceled'
    return { link, isLive, sinceMs: schedule?.last.periodStartMs ?? 0 }
  })
  candidates.sort(
    (a, b) =>
      Number(b.isLive) - Number(a.isLive) ||
      b.sinceMs - a.sinceMs ||
      (keyOf(a.link) < keyOf(b.link) ? -1 : 1),
  )
  return candidates[0] ?? null
}
