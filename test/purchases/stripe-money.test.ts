import t from 'tap'
import type { Thing } from '../helpers/stripe-stand-in.js'
import { eventOf, type StripeEvent } from './stripe-kit.js'
import { type Bought, openShop, PRICE, type Shop, verifyBooks } from './stripe-shop.js'

const COMPLETED = 'checkout.session.completed'

/** A purchase that was paid and granted. */
const paid = async (shop: Shop, accountId: string): Promise<Bought & { paymentId: string }> => {
  const bought = await shop.buy(accountId)
  const paymentId = shop.world.pay(bought.sessionId)
  for (const event of shop.events(bought.sessionId, COMPLETED)) await shop.tell(event)
  await shop.settle()
  return { ...bought, paymentId }
}

const GRANTED = { balance: 100, debt: 0, rows: [['grant', 100]] } as const

t.test('a purchase is granted when it is paid, and not when it is begun', async (t) => {
  const shop = await openShop(t)
  const { purchaseId, sessionId } = await shop.buy('ann')
  t.equal(await shop.status(purchaseId), 'pending')
  t.equal((await shop.books('ann')).balance, 0)
  shop.world.pay(sessionId)
  const [event] = shop.events(sessionId, COMPLETED)
  await shop.tell(event as StripeEvent)
  await shop.settle()
  t.equal(await shop.status(purchaseId), 'completed')
  t.match(await shop.books('ann'), GRANTED)
  await verifyBooks(t, shop)
})

t.test('a checkout at another price than was sold is ended, and nothing is begun', async (t) => {
  const shop = await openShop(t)
  const { call, standIn } = shop
  await call('PUT', '/v1/accounts/ann', {})
  const successUrl = 'https://shop.example/done'
  const order = { accountId: 'ann', packageId: 'pkg_starter', provider: 'stripe', successUrl }
  // which is 5.00 USD at Stripe
  const stripePriceId = 'price_5_usd'
  for (const change of [{ price: 600 }, { price: PRICE, currency: 'EUR' }]) {
    await call('PUT', '/v1/packages/pkg_starter', { ...change, stripePriceId })
    t.match(await call('POST', '/v1/purchases', order), {
      status: 409,
      body: { code: 'provider_refused', detail: /would ask for 500 USD, and not for \d00 [A-Z]+$/ },
    })
    const path = `/v1/checkout/sessions/${[...standIn.objects.sessions.keys()].at(-1)}/expire`
    t.match(standIn.requests.at(-1), { method: 'POST', path })
  }
  t.same((await call('GET', '/v1/accounts/ann/purchases')).body.purchases, [])
  await call('PUT', '/v1/packages/pkg_starter', { currency: 'USD' })
  t.match(await call('POST', '/v1/purchases', order), { status: 201 })
})

t.test('one event twice, and twenty times at once, grants once', async (t) => {
  const shop = await openShop(t)
  const { sessionId } = await shop.buy('ann')
  shop.world.pay(sessionId)
  const [event] = shop.events(sessionId, COMPLETED) as [StripeEvent]
  for (let n = 0; n < 2; n += 1) {
    await shop.tell(event)
    await shop.settle()
  }
  t.match(await shop.books('ann'), GRANTED)
  await Promise.all(Array.from({ length: 20 }, () => shop.tell(event)))
  const other = await shop.buy('bob')
  shop.world.pay(other.sessionId)
  const [next] = shop.events(other.sessionId, COMPLETED) as [StripeEvent]
  await Promise.all(Array.from({ length: 20 }, () => shop.tell(next)))
  await shop.settle()
  t.match(await shop.books('bob'), GRANTED)
  t.match(await shop.books('ann'), GRANTED)
  t.equal((await shop.books('ann')).rows.length, 1)
  await verifyBooks(t, shop)
})

t.test('twenty events of one fact at two instances grant once', async (t) => {
  const shop = await openShop(t)
  const beside = await openShop(t, { beside: shop })
  const { sessionId } = await shop.buy('ann')
  shop.world.pay(sessionId)
  const types = Array(10).fill([COMPLETED, 'payment_intent.succeeded']).flat()
  const events = shop.events(sessionId, ...types)
  await Promise.all(events.map((event, n) => (n % 2 ? shop : beside).tell(event)))
  await Promise.all([shop.settle(), beside.settle()])
  t.match(await shop.books('ann'), GRANTED)
  t.equal((await shop.books('ann')).rows.length, 1)
  t.same(await shop.dead(), [])
  await verifyBooks(t, shop)
})

t.test('checkout, payment and invoice of one purchase grant once', async (t) => {
  const shop = await openShop(t)
  const { sessionId } = await shop.buy('ann')
  shop.world.pay(sessionId)
  const invoice = {
    id: 'in_1',
    created: 0,
    status: 'paid',
    billing_reason: 'manual',
    parent: null,
    amount_paid: PRICE,
    metadata: shop.world.sessionOf(sessionId).metadata,
    lines: { data: [], has_more: false },
  }
  shop.standIn.objects.invoices.set(invoice.id, invoice)
  const events = shop.events(sessionId, COMPLETED, COMPLETED, 'payment_intent.succeeded')
  for (const event of [eventOf('invoice.paid', invoice), ...events]) await shop.tell(event)
  await shop.settle()
  t.match(await shop.books('ann'), GRANTED)
  t.equal((await shop.books('ann')).rows.length, 1)
  await verifyBooks(t, shop)
})

t.test('a delayed payment grants when it has come, and nothing when it does not', async (t) => {
  const shop = await openShop(t)
  for (const [accountId, isPaid] of [
    ['ann', true],
    ['bob', false],
  ] as const) {
    const { purchaseId, sessionId } = await shop.buy(accountId)
    shop.world.pay(sessionId, { isDelayed: true })
    for (const event of shop.events(sessionId, COMPLETED)) await shop.tell(event)
    await shop.settle()
    t.equal(await shop.status(purchaseId), 'processing')
    t.equal((await shop.books(accountId)).balance, 0)
    shop.world.settle(sessionId, isPaid)
    const type = `checkout.session.async_payment_${isPaid ? 'succeeded' : 'failed'}`
    for (const event of shop.events(sessionId, type, type)) await shop.tell(event)
    await shop.settle()
    t.equal(await shop.status(purchaseId), isPaid ? 'completed' : 'failed')
    t.equal((await shop.books(accountId)).balance, isPaid ? 100 : 0)
  }
  await verifyBooks(t, shop)
})

t.test('a checkout that nobody paid expires', async (t) => {
  const shop = await openShop(t)
  const { purchaseId, sessionId } = await shop.buy('ann')
  shop.world.expire(sessionId)
  for (const event of shop.events(sessionId, 'checkout.session.expired')) await shop.tell(event)
  await shop.settle()
  t.equal(await shop.status(purchaseId), 'expired')
  t.same((await shop.books('ann')).rows, [])
})

t.test('money that is not as it was sold shows, and does not expire unseen', async (t) => {
  const shop = await openShop(t)
  const { purchaseId, sessionId } = await shop.buy('ann')
  const path = `/v1/purchases/${purchaseId}`
  const seen = async () => (await shop.call('GET', path)).body
  const tell = async (type: string, change: object) => {
    Object.assign(shop.world.sessionOf(sessionId), change)
    for (const event of shop.events(sessionId, type)) await shop.tell(event)
    await shop.settle()
  }
  const paymentId = shop.world.pay(sessionId)
  await tell(COMPLETED, { amount_subtotal: 499 })
  const reason = 'the price is 499 and not 500, as it was sold'
  const shown = { status: 'processing', problem: `payment_refused: ${reason} (${paymentId})` }
  t.match(await seen(), { ...shown, checkoutUrl: undefined })
  t.match(await shop.call('POST', `${path}/confirm`), {
    ...{ status: 409, body: { code: 'purchase_state', detail: reason } },
  })
  const asked = shop.standIn.requests.length
  shop.clock.aheadMs += 31 * 24 * 3_600_000
  await shop.runJob('purchases.finish')
  t.match(await seen(), shown, 'after a month')
  t.equal(shop.standIn.requests.length, asked, 'and nobody is asked any more')
  await tell('checkout.session.expired', { status: 'expired', amount_subtotal: PRICE })
  t.match(await seen(), shown, 'whatever is told beside it')
  t.match(await shop.dead(), [{ type: COMPLETED }])
  t.equal((await shop.dead()).length, 1)
  t.same((await shop.books('ann')).rows, [])
  await tell(COMPLETED, { status: 'complete' })
  t.match(await seen(), { status: 'completed', problem: undefined }, 'until it is right')
  t.match(await shop.books('ann'), GRANTED)
  await verifyBooks(t, shop)
})

t.test('a payment without a checkout pays when it is not less than the price', async (t) => {
  const shop = await openShop(t)
  for (const [accountId, amount, status] of [
    ['ann', 1, 'processing'],
    ['bob', PRICE - 1, 'processing'],
    ['eve', PRICE, 'completed'],
    ['joe', PRICE + 105, 'completed'],
  ] as const) {
    const { purchaseId, sessionId } = await shop.buy(accountId)
    const paymentId = shop.world.pay(sessionId, { amount })
    const intent = shop.standIn.objects.intents.get(paymentId)
    // the buyer has paid by another way, which names the purchase all the same
    shop.standIn.objects.sessions.delete(sessionId)
    await shop.tell(eventOf('payment_intent.succeeded', intent as Thing))
    await shop.settle()
    t.equal(await shop.status(purchaseId), status, `${amount}`)
    t.equal((await shop.books(accountId)).balance, status === 'completed' ? 100 : 0)
  }
  t.equal((await shop.dead()).length, 2)
  await verifyBooks(t, shop)
})

t.test('a refund that is told before the payment ends in nothing', async (t) => {
  const shop = await openShop(t)
  const { purchaseId, sessionId } = await shop.buy('ann')
  const paymentId = shop.world.pay(sessionId)
  const refund = shop.world.refund(paymentId, PRICE)
  await shop.tell(eventOf('refund.created', refund))
  await shop.runJob('webhooks.inbox')
  t.equal((await shop.books('ann')).balance, 0)
  for (const event of shop.events(sessionId, COMPLETED)) await shop.tell(event)
  await shop.settle()
  t.match(await shop.books('ann'), { balance: 0, debt: 0 })
  t.equal(await shop.status(purchaseId), 'refunded')
  t.same(await shop.dead(), [])
  await verifyBooks(t, shop)
})

t.test('30 %, 30 % and 40 % take back all of it, to the credit', async (t) => {
  const shop = await openShop(t)
  const { purchaseId, paymentId } = await paid(shop, 'ann')
  const left: number[] = []
  for (const amount of [150, 150, 200]) {
    const refund = shop.world.refund(paymentId, amount)
    const types = ['refund.created', 'refund.updated']
    const events = types.map((type) => eventOf(type, refund))
    const second = eventOf('charge.refunded', shop.world.chargeOf(paymentId))
    for (const event of [...events, ...events, second]) await shop.tell(event)
    await shop.settle()
    left.push((await shop.books('ann')).balance)
  }
  t.same(left, [70, 40, 0])
  t.equal(await shop.status(purchaseId), 'refunded')
  const { rows } = await shop.books('ann')
  t.same(rows, [
    ['grant', 100],
    ['claw_back', -30],
    ['claw_back', -30],
    ['claw_back', -40],
  ])
  await verifyBooks(t, shop)
})

t.test('a refund that fails after it had succeeded gives back what it took', async (t) => {
  const shop = await openShop(t)
  const { purchaseId, paymentId } = await paid(shop, 'ann')
  const refund = shop.world.refund(paymentId, 250)
  await shop.tell(eventOf('refund.created', refund))
  await shop.settle()
  t.equal((await shop.books('ann')).balance, 50)
  refund.status = 'failed'
  for (let n = 0; n < 2; n += 1) {
    await shop.tell(eventOf('refund.failed', refund))
    await shop.tell(eventOf('refund.updated', { ...refund, status: 'succeeded' }))
    await shop.settle()
  }
  t.match(await shop.books('ann'), { balance: 100, debt: 0 })
  t.equal(await shop.status(purchaseId), 'completed')
  await verifyBooks(t, shop)
})

t.test('what was spent already becomes debt', async (t) => {
  const shop = await openShop(t)
  const { paymentId } = await paid(shop, 'ann')
  t.equal((await shop.call('POST', '/v1/accounts/ann/charges', { amount: 80 })).status, 201)
  await shop.tell(eventOf('refund.created', shop.world.refund(paymentId, PRICE)))
  await shop.settle()
  t.match(await shop.books('ann'), { balance: 0, debt: 80 })
  await paid(shop, 'ann')
  t.match(await shop.books('ann'), { balance: 20, debt: 0 }, 'which the next purchase pays first')
  await verifyBooks(t, shop)
})

t.test('a refund through the API takes money and credits back, once under its key', async (t) => {
  const shop = await openShop(t)
  const { purchaseId } = await paid(shop, 'ann')
  const refund = (body: object, idempotencyKey: string) =>
    shop.call('POST', `/v1/purchases/${purchaseId}/refund`, body, { idempotencyKey })
  const replies = await Promise.all([1, 2, 3].map(() => refund({ amount: 150 }, 'k1')))
  t.ok(replies.every(({ status }) => status < 300))
  t.equal(shop.standIn.objects.refunds.size, 1)
  t.equal((await shop.books('ann')).balance, 70)
  shop.standIn.fail({ status: 503 })
  t.match(await refund({}, 'k2'), { status: 503, body: { code: 'provider_unavailable' } })
  shop.standIn.fail(null)
  t.ok((await refund({}, 'k2')).status < 300, 'the key is still valid')
  t.match(await shop.books('ann'), { balance: 0, debt: 0 })
  for (const one of shop.standIn.objects.refunds.values()) {
    await shop.tell(eventOf('refund.created', one))
  }
  await shop.settle()
  t.match(await shop.books('ann'), { balance: 0, debt: 0 }, 'their events tell nothing new')
  await verifyBooks(t, shop)
})
