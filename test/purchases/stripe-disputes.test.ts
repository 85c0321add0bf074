import t from 'tap'
import type { Thing } from '../helpers/stripe-stand-in.js'
import { eventOf } from './stripe-kit.js'
import { openShop, PRICE, type Shop, verifyBooks } from './stripe-shop.js'

const FREEZES = { DISPUTE_FREEZES_ACCOUNT: 'true' }

const paid = async (shop: Shop, accountId = 'ann') => {
  const bought = await shop.buy(accountId)
  const paymentId = shop.world.pay(bought.sessionId)
  for (const event of shop.events(bought.sessionId, 'checkout.session.completed')) {
    await shop.tell(event)
  }
  await shop.settle()
  return { ...bought, paymentId }
}

const moved = (...sums: number[]) => sums.map((amount, n) => ({ id: `txn_${n}`, amount }))

/** Tells of a dispute by events of these kinds, as it stands. */
const tell = async (shop: Shop, dispute: Thing, ...kinds: string[]): Promise<void> => {
  for (const kind of kinds) await shop.tell(eventOf(`charge.dispute.${kind}`, dispute))
  await shop.settle()
}

t.test('funds that a dispute withdrew are clawed back, and given back when won', async (t) => {
  const shop = await openShop(t)
  const { purchaseId, paymentId } = await paid(shop)
  const dispute = shop.world.dispute(paymentId, PRICE, 'needs_response')
  await tell(shop, dispute, 'created')
  t.equal((await shop.books('ann')).balance, 100, 'nothing has moved yet')
  t.equal(await shop.status(purchaseId), 'disputed')
  dispute.balance_transactions = moved(-PRICE - 1_500)
  await tell(shop, dispute, 'funds_withdrawn', 'funds_withdrawn')
  t.match(await shop.books('ann'), { balance: 0, debt: 0 })
  Object.assign(dispute, { status: 'won', balance_transactions: moved(-2_000, PRICE) })
  await tell(shop, dispute, 'closed', 'funds_reinstated', 'closed')
  t.match(await shop.books('ann'), { balance: 100, debt: 0 })
  t.equal(await shop.status(purchaseId), 'completed')
  const { rows } = await shop.books('ann')
  t.same(rows, [
    ['grant', 100],
    ['claw_back', -100],
    ['reinstate', 100],
  ])
  await verifyBooks(t, shop)
})

t.test('a lost dispute keeps what it took, whatever comes late', async (t) => {
  const shop = await openShop(t)
  const { purchaseId, paymentId } = await paid(shop)
  const dispute = shop.world.dispute(paymentId, PRICE, 'needs_response', [-PRICE])
  const created = eventOf('charge.dispute.created', dispute)
  dispute.status = 'lost'
  await tell(shop, dispute, 'closed')
  t.match(await shop.books('ann'), { balance: 0, debt: 0 }, 'closed before created')
  await shop.tell(created)
  await tell(shop, dispute, 'funds_withdrawn', 'closed')
  t.match(await shop.books('ann'), { balance: 0, debt: 0 })
  t.equal((await shop.books('ann')).rows.length, 2)
  t.equal(await shop.status(purchaseId), 'disputed')
  await verifyBooks(t, shop)
})

t.test('a dispute that was won before anybody heard of it moves nothing', async (t) => {
  const shop = await openShop(t)
  const { purchaseId, paymentId } = await paid(shop)
  const dispute = shop.world.dispute(paymentId, PRICE, 'won', [-PRICE, PRICE])
  await tell(shop, dispute, 'closed', 'created', 'funds_withdrawn', 'funds_reinstated')
  t.equal((await shop.books('ann')).rows.length, 1)
  t.equal(await shop.status(purchaseId), 'completed')
})

t.test('an inquiry moves nothing, and its end neither', async (t) => {
  const shop = await openShop(t, { environment: FREEZES })
  const { purchaseId, paymentId } = await paid(shop)
  const dispute = shop.world.dispute(paymentId, PRICE, 'warning_needs_response')
  for (const status of ['warning_needs_response', 'warning_under_review', 'warning_closed']) {
    dispute.status = status
    await tell(shop, dispute, 'created', 'updated', 'closed')
    t.equal((await shop.books('ann')).rows.length, 1, status)
    t.equal((await shop.call('GET', '/v1/accounts/ann')).body.status, 'active', status)
  }
  t.equal(await shop.status(purchaseId), 'completed')
  dispute.status = 'prevented'
  await tell(shop, dispute, 'closed')
  t.equal((await shop.books('ann')).balance, 100)
})

t.test('a dispute after a partial refund takes what is left, and no more', async (t) => {
  const shop = await openShop(t)
  const { paymentId } = await paid(shop)
  await shop.tell(eventOf('refund.created', shop.world.refund(paymentId, 200)))
  await shop.settle()
  t.equal((await shop.books('ann')).balance, 60)
  const dispute = shop.world.dispute(paymentId, PRICE, 'lost', [-PRICE])
  await tell(shop, dispute, 'closed')
  t.match(await shop.books('ann'), { balance: 0, debt: 0 })
  dispute.status = 'won'
  await tell(shop, dispute, 'closed')
  t.match(await shop.books('ann'), { balance: 60, debt: 0 }, 'the refund stays')
  await verifyBooks(t, shop)
})

t.test('an open dispute freezes the account where that is wanted', async (t) => {
  const shop = await openShop(t, { environment: FREEZES })
  const { paymentId } = await paid(shop)
  const status = async () => (await shop.call('GET', '/v1/accounts/ann')).body.status
  const dispute = shop.world.dispute(paymentId, PRICE, 'needs_response', [-PRICE])
  await tell(shop, dispute, 'created')
  t.equal(await status(), 'frozen')
  t.match(await shop.books('ann'), { balance: 0, debt: 0 }, 'clawed back all the same')
  dispute.status = 'won'
  await tell(shop, dispute, 'closed')
  t.equal(await status(), 'active')
  t.match(await shop.books('ann'), { balance: 100, debt: 0 })
  await verifyBooks(t, shop)
})

t.test('what was spent and won back comes back once', async (t) => {
  const shop = await openShop(t)
  const { paymentId } = await paid(shop)
  await shop.call('POST', '/v1/accounts/ann/charges', { amount: 70 })
  const dispute = shop.world.dispute(paymentId, PRICE, 'needs_response', [-PRICE])
  await tell(shop, dispute, 'created')
  t.match(await shop.books('ann'), { balance: 0, debt: 70 })
  dispute.status = 'won'
  const events = Array.from({ length: 20 }, () => eventOf('charge.dispute.closed', dispute))
  await Promise.all(events.map((event) => shop.tell(event)))
  await shop.settle()
  t.match(await shop.books('ann'), { balance: 30, debt: 0 })
  await verifyBooks(t, shop)
})

t.test('a warning of fraud moves nothing', async (t) => {
  const shop = await openShop(t, { environment: FREEZES })
  const { paymentId } = await paid(shop)
  const { charge } = { charge: shop.world.chargeOf(paymentId).id }
  const warning = { id: 'issfr_1', created: 0, charge, payment_intent: paymentId }
  await shop.tell(eventOf('radar.early_fraud_warning.created', warning))
  await shop.settle()
  t.equal((await shop.books('ann')).rows.length, 1)
  t.equal((await shop.call('GET', '/v1/accounts/ann')).body.status, 'active')
})
