import t from 'tap'
import { CREDITS, inboxOf, openCreemShop, PAID } from './creem-shop.js'

t.test('a package is bought through Creem: paid, told, credited once', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const { id, checkoutId, paymentId, event } = await shop.sell('ann')
  t.match(await shop.purchase(id), {
    status: 'pending',
    provider: 'creem',
    checkoutUrl: `https://checkout.creem.io/${checkoutId}`,
  })
  t.equal((await shop.balance('ann')).balance, 0, 'nothing before it is told')
  t.equal(await shop.deliver(event), 200)
  await shop.settled()
  t.match(await shop.purchase(id), { status: 'completed', paymentIntentId: paymentId })
  t.equal(await shop.deliver(event), 200, 'again')
  await shop.settled()
  t.strictSame(await shop.rows('ann'), [['grant', CREDITS]])
  await shop.mustBeSound(t)
})

t.test('one event twenty times at once, at two instances, is one grant', async (t) => {
  const shop = await openCreemShop(t)
  const other = await openCreemShop(t, { beside: shop })
  await shop.open('ann')
  const { event } = await shop.sell('ann')
  const calls = Array.from({ length: 20 }, (_, i) => (i % 2 ? shop : other).deliver(event))
  t.strictSame(new Set(await Promise.all(calls)), new Set([200]))
  await shop.settled()
  t.strictSame(await shop.rows('ann'), [['grant', CREDITS]])
  t.equal((await inboxOf(shop)).length, 1)
  await shop.mustBeSound(t)
})

t.test('twenty events of one fact, and the buyer who asks, are one grant', async (t) => {
  const shop = await openCreemShop(t)
  const other = await openCreemShop(t, { beside: shop })
  await shop.open('ann')
  const { id, event } = await shop.sell('ann')
  const calls = Array.from({ length: 20 }, async (_, i) => {
    const at = i % 2 ? shop : other
    if (i % 5 === 0) return (await at.call('POST', `/v1/purchases/${id}/confirm`, {})).status
    return at.deliver({ ...event, id: `evt_other_${i}` })
  })
  t.strictSame(new Set(await Promise.all(calls)), new Set([200]))
  await Promise.all([shop.settled(), other.settled()])
  t.strictSame(await shop.rows('ann'), [['grant', CREDITS]])
  await shop.mustBeSound(t)
})

t.test('refunds of 30, 30 and 40 per cent take back exactly all', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const { id, paymentId, event } = await shop.sell('ann')
  await shop.deliver(event)
  await shop.settled()
  const targets: number[] = []
  for (const amount of [182, 181, 242]) {
    await shop.deliver(shop.creem.refundPayment(paymentId, amount))
    await shop.settled()
    targets.push((await shop.balance('ann')).balance)
  }
  t.strictSame(targets, [69, 40, 0], 'whoever gives part of a credit back gives all of it')
  t.match(await shop.purchase(id), { status: 'refunded', refundedAmount: PAID })
  await shop.mustBeSound(t)
})

t.test('the refund before the payment, and the net is zero', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const { id, paymentId, event } = await shop.sell('ann')
  const refund = shop.creem.refundPayment(paymentId)
  await shop.deliver(refund)
  await shop.settled()
  await shop.deliver(event)
  await shop.settled()
  t.match(await shop.purchase(id), { status: 'refunded' })
  t.equal((await shop.balance('ann')).balance, 0)
  await shop.mustBeSound(t)
})

t.test('a refund and a dispute of one payment take back no more than was bought', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann', 1_000)
  const { id, paymentId, event } = await shop.sell('ann')
  await shop.deliver(event)
  const refund = shop.creem.refundPayment(paymentId, 121)
  await shop.deliver(refund)
  await shop.settled()
  t.equal((await shop.balance('ann')).balance, 1_080)
  const dispute = shop.creem.dispute(paymentId)
  await shop.deliver(dispute)
  await shop.settled()
  t.equal((await shop.balance('ann')).balance, 1_000)
  t.match(await shop.purchase(id), { status: 'disputed' })
  const again = { ...refund, id: 'evt_again', object: { ...refund.object, id: 'ref_again' } }
  await shop.deliver({ ...again, object: { ...again.object, refund_amount: PAID } })
  await shop.settled()
  t.equal((await shop.balance('ann')).balance, 1_000, 'Creem refunds the buyer by itself')
  await shop.mustBeSound(t)
})

t.test('what was spent already becomes debt, which the next purchase pays first', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const first = await shop.sell('ann')
  await shop.deliver(first.event)
  await shop.settled()
  await shop.call('POST', '/v1/accounts/ann/charges', { amount: 70 })
  await shop.deliver(shop.creem.dispute(first.paymentId))
  await shop.settled()
  t.match(await shop.balance('ann'), { balance: 0, debt: 70 })
  const second = await shop.sell('ann')
  await shop.deliver(second.event)
  await shop.settled()
  t.match(await shop.balance('ann'), { balance: 30, debt: 0 })
  await shop.mustBeSound(t)
})

t.test('a checkout of a plan grants nothing by a purchase', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const { id, event } = await shop.sell('ann')
  const order = { ...event.object.order, type: 'recurring' }
  const product = { ...event.object.product, billing_type: 'recurring' }
  await shop.deliver({ ...event, object: { ...event.object, order, product } })
  await shop.settled()
  t.match(await shop.purchase(id), { status: 'pending' })
  t.strictSame(await shop.rows('ann'), [])
})

t.test('an order that does not name its transaction is paid all the same', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const { id, paymentId, event } = await shop.sell('ann')
  const { transaction: _, amount_paid: __, ...order } = event.object.order
  await shop.deliver({ ...event, object: { ...event.object, order } })
  await shop.settled()
  t.match(await shop.purchase(id), { status: 'completed', paymentIntentId: paymentId })
  await shop.deliver(shop.creem.refundPayment(paymentId))
  await shop.settled()
  t.match(await shop.purchase(id), { status: 'refunded' })
  await shop.mustBeSound(t)
})

t.test('what contradicts the purchase grants nothing and waits for an operator', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const changes = [
    ({ object }: { object: { product: object } }) => ({ product: { ...object.product, price: 1 } }),
    ({ object }: { object: { product: object } }) => ({ product: { ...object.product, id: 'x' } }),
    ({ object }: { object: { order: object } }) => ({
      order: { ...object.order, currency: 'EUR' },
    }),
    () => ({ units: 2 }),
  ]
  for (const change of changes) {
    const { event } = await shop.sell('ann')
    const bent = change(event as never)
    await shop.deliver({ ...event, object: { ...event.object, ...bent } })
  }
  await shop.settled()
  t.strictSame(await shop.rows('ann'), [])
  const inbox = await inboxOf(shop)
  t.ok(inbox.every(({ dead_at }) => dead_at !== null))
  t.strictSame(inbox.length, changes.length)
})

t.test('bad signatures are refused, odd events taken, and neither does anything', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const { event } = await shop.sell('ann')
  const { body, headers } = shop.creem.signed(event)
  const { 'creem-signature': good = '', ...others } = headers
  const bad = [undefined, '', good.slice(0, 63), good.toUpperCase(), `${good}0`, '0'.repeat(64)]
  for (const signature of bad) {
    const reply = await shop.app.inject({
      method: 'POST',
      url: '/v1/webhooks/creem',
      headers: { ...others, ...(signature !== undefined && { 'creem-signature': signature }) },
      payload: body,
    })
    t.equal(reply.statusCode, 400)
    t.equal(reply.json().code, 'invalid_signature')
  }
  t.equal(await shop.deliver({ ...event, eventType: 'checkout.reopened' }), 200)
  t.equal(await shop.deliver({ id: 'evt_x', eventType: 'checkout.completed' }), 400)
  await shop.settled()
  t.match(await inboxOf(shop), [{ type: 'checkout.reopened', outcome: 'ignored' }])
  t.strictSame(await shop.rows('ann'), [])
})

t.test('an operator refunds a purchase whole by the API, once', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const { id, paymentId, event } = await shop.sell('ann')
  await shop.deliver(event)
  await shop.settled()
  const part = await shop.call('POST', `/v1/purchases/${id}/refund`, { amount: 100 })
  t.equal(part.status, 409)
  t.match(part.body, { code: 'provider_refused', detail: /dashboard/ })
  const refunds = await Promise.all(
    [1, 2].map(() => shop.call('POST', `/v1/purchases/${id}/refund`, {})),
  )
  t.ok(refunds.every(({ status }) => [200, 409, 422].includes(status)))
  t.match(await shop.purchase(id), { status: 'refunded', refundedAmount: PAID })
  t.equal(shop.creem.transactions.get(paymentId)?.refunded_amount, PAID)
  t.equal((await shop.balance('ann')).balance, 0)
  await shop.mustBeSound(t)
})

t.test('while Creem is away nothing is sold, and the caller is told so', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  for (const fault of [503, 'reset'] as const) {
    shop.creem.fault = fault
    const body = { accountId: 'ann', packageId: 'pkg_starter', provider: 'creem' }
    const reply = await shop.call('POST', '/v1/purchases', body)
    t.match(reply, { status: 503, body: { code: 'provider_unavailable' } })
  }
  shop.creem.fault = null
  await shop.sell('ann')
})
