import t from 'tap'
import type { CreemEvent, Json } from '../helpers/creem-shapes.js'
import { CREEM_KEY } from '../helpers/creem-stand-in.js'
import type { TestContext } from '../helpers/database.js'
import { BETTER_PLAN, type CreemShop, inboxOf, openCreemShop, PLAN } from './creem-shop.js'
import { randomFrom, shuffled } from './stripe-kit.js'

const MONTHLY = 300
const HOUR_MS = 3_600_000

/** A shop with a plan that Creem bills, and a buyer who has subscribed to it. */
const openPlan = async (t: TestContext) => {
  const shop = await openCreemShop(t)
  const plan = { tier: 'pro', monthlyCredits: MONTHLY, creemPriceId: PLAN }
  const put = await shop.call('PUT', '/v1/plans/pro_by_creem', plan)
  if (put.status > 201) throw new Error(`no plan: ${JSON.stringify(put.body)}`)
  await shop.open('ann')
  return { shop, events: await subscribe(shop, 'ann') }
}

/** As the product's own back end begins it: with the account in the metadata. */
const subscribe = async ({ creem }: CreemShop, accountId: string): Promise<CreemEvent[]> => {
  const reply = await fetch(`${creem.url}/v1/checkouts`, {
    method: 'POST',
    headers: { 'x-api-key': CREEM_KEY },
    body: JSON.stringify({ product_id: PLAN, metadata: { accountId } }),
  })
  const { id } = (await reply.json()) as { id: string }
  return creem.subscribe(id)
}

const allocations = async (shop: CreemShop, accountId: string) =>
  (await shop.rows(accountId)).filter(([type]) => type === 'allocation')

for (const seed of [1, 2, 3, 4]) {
  t.test(`a subscription allocates once, in any order (seed ${seed})`, async (t) => {
    const { shop, events } = await openPlan(t)
    const copies = events.map((event) => ({ ...event, id: `${event.id}_again` }))
    for (const event of shuffled([...events, ...events, ...copies], randomFrom(seed))) {
      t.equal(await shop.deliver(event), 200)
    }
    await shop.settled()
    t.strictSame(await allocations(shop, 'ann'), [['allocation', MONTHLY]])
    const { body } = await shop.call('GET', '/v1/accounts/ann')
    t.match(body, { membershipTier: 'pro' })
    await shop.mustBeSound(t)
  })
}

/** As if it had all begun some days ago. */
const age = ({ creem }: CreemShop, events: readonly CreemEvent[], days: number): void => {
  const earlier = (text: string) => new Date(Date.parse(text) - days * 24 * HOUR_MS).toISOString()
  const names = ['created_at', 'current_period_start_date', 'current_period_end_date']
  const objects: Json[] = [...events.map(({ object }) => object), ...creem.subscriptions.values()]
  for (const object of objects.filter((one) => one.object === 'subscription')) {
    for (const name of [...names, 'last_transaction_date']) object[name] = earlier(object[name])
  }
}

for (const seed of [1, 2, 3]) {
  t.test(`an upgrade within a paid month brings its part once (seed ${seed})`, async (t) => {
    const { shop, events } = await openPlan(t)
    const better = { tier: 'lifetime', monthlyCredits: 900, creemPriceId: BETTER_PLAN }
    t.equal((await shop.call('PUT', '/v1/plans/better_by_creem', better)).status, 201)
    age(shop, events, 10)
    const [id = '', { current_period_end_date: end, last_transaction_id: first }] = [
      ...shop.creem.subscriptions,
    ][0] ?? ['', {}]
    const upgrade = shop.creem.upgrade(id, BETTER_PLAN, 2_000)
    const told = [...events, upgrade, shop.creem.change(id, 'update')]
    const copies = told.map((event) => ({ ...event, id: `${event.id}_again` }))
    for (const event of shuffled([...told, ...told, ...copies], randomFrom(seed))) {
      t.equal(await shop.deliver(event), 200)
    }
    await shop.settled()
    const restMs = Date.parse(end) - Date.parse(upgrade.object.last_transaction_date)
    const more = Math.floor((600 * restMs) / (30 * 24 * HOUR_MS))
    t.not(first, upgrade.object.last_transaction_id)
    t.strictSame(
      (await allocations(shop, 'ann')).map(([, credits]) => credits).sort(),
      [MONTHLY, more].sort(),
    )
    const { body } = await shop.call('GET', '/v1/accounts/ann')
    t.match(body, { membershipTier: 'lifetime' })
    await shop.mustBeSound(t)
  })
}

t.test('twenty at once of one payment allocate once', async (t) => {
  const { shop, events } = await openPlan(t)
  const paid = events[2]
  const calls = Array.from({ length: 20 }, (_, i) => shop.deliver({ ...paid, id: `evt_p${i}` }))
  t.strictSame(new Set(await Promise.all(calls)), new Set([200]))
  await shop.settled()
  t.strictSame(await allocations(shop, 'ann'), [['allocation', MONTHLY]])
  await shop.mustBeSound(t)
})

t.test('what only mirrors a subscription allocates nothing', async (t) => {
  const { shop, events } = await openPlan(t)
  const [completed, active] = events
  await shop.deliver(completed ?? {})
  await shop.deliver(active ?? {})
  const id = String([...shop.creem.subscriptions.keys()][0])
  for (const type of ['update', 'past_due', 'unpaid', 'paused', 'scheduled_cancel', 'expired']) {
    await shop.deliver(shop.creem.change(id, type, { status: type }))
  }
  await shop.settled()
  t.strictSame(await allocations(shop, 'ann'), [])
  t.ok((await inboxOf(shop)).every(({ dead_at }) => dead_at === null))
})

t.test('a subscription whose every event was lost is found by night, once', async (t) => {
  const { shop, events } = await openPlan(t)
  shop.clock.aheadMs = 2 * HOUR_MS
  t.match(await shop.runJob('purchases.reconcile'), /2 looked at, 1 repaired, 0 refused, 0 parked/)
  t.strictSame(await allocations(shop, 'ann'), [['allocation', MONTHLY]])
  t.match(await shop.runJob('purchases.reconcile'), /2 looked at, 0 repaired/)
  for (const event of events) await shop.deliver(event)
  await shop.settled()
  t.strictSame(await allocations(shop, 'ann'), [['allocation', MONTHLY]])
  await shop.mustBeSound(t)
})

t.test('subscriptions to what is no plan of ours are left alone', async (t) => {
  const { shop } = await openPlan(t)
  await shop.call('PUT', '/v1/plans/pro_by_creem', { tier: 'pro', creemPriceId: null })
  for (const checkout of shop.creem.checkouts.values()) checkout.metadata = {}
  for (const subscription of shop.creem.subscriptions.values()) subscription.metadata = {}
  t.match(await shop.runJob('purchases.reconcile'), /2 looked at, 0 repaired, 0 refused, 0 parked/)
})
