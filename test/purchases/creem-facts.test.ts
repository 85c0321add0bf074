import t from 'tap'
import { createCreem } from '../../src/purchases/providers/creem.js'
import { CREEM_KEY, CREEM_SECRET } from '../helpers/creem-stand-in.js'
import { type Kit, openKit, PACK, PLAN, reversalsIn } from './creem-kit.js'

t.test(
  'a paid checkout is told with its transaction, its price before tax, and the sum',
  async (t) => {
    const { creem, factsOf, begin } = await openKit(t)
    const checkoutId = await begin()
    const event = creem.pay(checkoutId)
    t.strictSame(await factsOf(event), [
      {
        kind: 'checkout',
        provider: 'creem',
        purchaseId: 'purchase-1',
        checkoutId,
        paymentId: event.object.order.transaction,
        state: 'paid',
        subtotal: 1000,
        amount: 1210,
        currency: 'USD',
        priceId: PACK,
        quantity: 1,
      },
    ])
  },
)

t.test('an order as old samples have it, without its transaction, is looked up', async (t) => {
  const { creem, factsOf, begin } = await openKit(t)
  const event = creem.pay(await begin())
  const { transaction, amount_paid: _, ...order } = event.object.order
  const bare = { ...event, object: { ...event.object, order } }
  t.match(await factsOf(bare), [{ state: 'paid', paymentId: transaction, amount: 1210 }])
  const { factsOf: withoutKey } = await openKit(t, { apiKey: null })
  t.match(await withoutKey(bare), [{ state: 'paid', paymentId: null, amount: null }])
  creem.transactions.clear()
  t.match(await factsOf(bare), [{ state: 'paid', paymentId: null }], 'not there yet')
})

t.test('relations may be ids or objects, billing types be spelt either way', async (t) => {
  const { creem, factsOf, begin } = await openKit(t)
  const { object, ...envelope } = creem.pay(await begin())
  const { order } = object
  const same = async (changes: object) => {
    const [fact] = await factsOf({ ...envelope, object: { ...object, ...changes } })
    return fact
  }
  const paid = { state: 'paid', priceId: PACK, paymentId: order.transaction }
  t.match(await same({ product: PACK }), { ...paid, subtotal: null })
  t.match(await same({ order: { ...order, transaction: { id: order.transaction } } }), paid)
  t.match(await same({ order: { ...order, type: 'one-time' } }), paid)
  const product = { ...object.product, billing_type: 'one-time' }
  t.match(await same({ product, order: { ...order, type: undefined } }), paid)
  t.match(await same({ units: 3 }), { quantity: 3, subtotal: 3000 })
  t.match(await same({ product: undefined }), paid, 'the order names the product')
})

t.test('our id is read from the metadata, else from the request id', async (t) => {
  const { creem, factsOf, begin } = await openKit(t)
  const { object, ...envelope } = creem.pay(await begin())
  const idWith = async (changes: object) =>
    (await factsOf({ ...envelope, object: { ...object, ...changes } }))[0]?.purchaseId
  const ours = 'pur_0b0fd1a67f6e4d0e9f0e3f6f5b1d9f11'
  t.equal(await idWith({ request_id: 'other' }), 'purchase-1')
  t.equal(await idWith({ metadata: undefined, request_id: ours }), ours)
  t.equal(await idWith({ metadata: null, request_id: ours }), ours)
  t.equal(await idWith({ metadata: undefined, request_id: 'order-1' }), null, "a merchant's own")
  t.equal(await idWith({ metadata: { userId: 'x' }, request_id: ours }), null, "a merchant's own")
  t.equal(await idWith({ metadata: { purchaseId: 'a\u0000' } }), null)
  t.equal(await idWith({ metadata: { purchaseId: 7 } }), null)
})

t.test('an order that is not paid grants nothing', async (t) => {
  const { creem, factsOf, begin } = await openKit(t)
  const { object, ...envelope } = creem.pay(await begin())
  const order = { ...object.order, status: 'pending' }
  const facts = await factsOf({ ...envelope, object: { ...object, order } })
  t.match(facts, [{ state: 'processing', paymentId: null, amount: null }])
})

t.test('a refund is told as the sum that the transaction has by now', async (t) => {
  const { creem, factsOf, begin } = await openKit(t)
  const paymentId = creem.pay(await begin()).object.order.transaction
  const first = creem.refundPayment(paymentId, 363)
  const told = { purchaseId: 'purchase-1', paymentId, paidAmount: 1210, currency: 'USD' }
  t.match(await factsOf(first), [told])
  t.strictSame(reversalsIn(await factsOf(first)), [
    { type: 'refund', amount: 363, state: 'succeeded' },
  ])
  const second = creem.refundPayment(paymentId, 363)
  const whole = [{ type: 'refund', amount: 726, state: 'succeeded' }]
  t.strictSame(reversalsIn(await factsOf(second)), whole)
  t.strictSame(reversalsIn(await factsOf(first)), whole, 'also by the event of before')
})

t.test('what goes back was paid: a refund says so of its purchase, if it has one', async (t) => {
  const { creem, factsOf, begin } = await openKit(t)
  const checkoutId = await begin()
  const paymentId = creem.pay(checkoutId).object.order.transaction
  const { object, ...envelope } = creem.refundPayment(paymentId, 363)
  const [, paid, ...rest] = await factsOf({ ...envelope, object })
  const purchase = { purchaseId: 'purchase-1', checkoutId, paymentId }
  t.match(paid, { ...purchase, state: 'paid', amount: 1210, subtotal: null, priceId: null })
  t.strictSame(rest, [])
  const checkout = { ...object.checkout, metadata: { userId: 'x' } }
  const others = await factsOf({ ...envelope, object: { ...object, checkout } })
  t.match(others, [{ kind: 'reversal', purchaseId: null }])
  t.equal(others.length, 1)
})

t.test('without a key a refund is told as the event has it, and as old as that', async (t) => {
  const { creem, factsOf, begin } = await openKit(t, { apiKey: null })
  const paymentId = creem.pay(await begin()).object.order.transaction
  const first = { ...creem.refundPayment(paymentId, 363), created_at: 1_700_000_000_000 }
  const second = { ...creem.refundPayment(paymentId, 363), created_at: 1_700_000_001_000 }
  const [one, two] = [await factsOf(first), await factsOf(second)]
  t.match(one, [{ asOfMs: 1_700_000_000_000, reversals: [{ amount: 363 }] }])
  t.match(two, [{ asOfMs: 1_700_000_001_000, reversals: [{ amount: 726 }] }])
  t.equal(one[0]?.reversals[0].id, two[0]?.reversals[0].id, 'the later takes the place')
})

t.test('a pending refund moves nothing until the transaction shows it', async (t) => {
  const { creem, provider, factsOf, begin } = await openKit(t)
  const checkoutId = await begin()
  const paymentId = creem.pay(checkoutId).object.order.transaction
  const event = creem.refundPayment(paymentId, 605, 'pending')
  const pending = [{ type: 'refund', amount: 605, state: 'pending' }]
  t.strictSame(reversalsIn(await factsOf(event)), pending)
  creem.settleRefunds(true)
  const succeeded = [{ type: 'refund', amount: 605, state: 'succeeded' }]
  t.strictSame(reversalsIn(await factsOf(event)), succeeded, 'the event again')
  const asked = await provider.fetch({ purchaseId: 'purchase-1', checkoutId, paymentId })
  t.match(asked, [{ kind: 'checkout', state: 'paid' }, { kind: 'reversal' }])
  t.strictSame(reversalsIn(asked), succeeded, 'by asking')
})

t.test('a refund that failed counts for nothing', async (t) => {
  const { creem, factsOf, begin } = await openKit(t)
  const paymentId = creem.pay(await begin()).object.order.transaction
  for (const status of ['failed', 'canceled']) {
    const event = creem.refundPayment(paymentId, 605, status)
    t.match(reversalsIn(await factsOf(event)), [{ state: 'failed' }], status)
  }
  creem.refundPayment(paymentId, 121)
  const event = creem.refundPayment(paymentId, 605, 'failed')
  t.match(reversalsIn(await factsOf(event)), [{ state: 'succeeded', amount: 121 }])
})

t.test('a dispute is money withdrawn, found by a checkout that does not name us', async (t) => {
  const { creem, factsOf, begin } = await openKit(t)
  const paymentId = creem.pay(await begin()).object.order.transaction
  const event = creem.dispute(paymentId)
  t.notOk('metadata' in event.object.checkout, 'as in the sample')
  t.match(await factsOf(event), [{ purchaseId: 'purchase-1', paymentId, paidAmount: 1210 }])
  t.strictSame(reversalsIn(await factsOf(event)), [
    { type: 'dispute', amount: 1210, state: 'withdrawn' },
    { type: 'refund', amount: 0, state: 'failed' },
  ])
})

t.test('what was refunded before is not part of the dispute, and never counts twice', async (t) => {
  const { creem, provider, factsOf, begin } = await openKit(t)
  const paymentId = creem.pay(await begin()).object.order.transaction
  const refund = creem.refundPayment(paymentId, 363)
  const dispute = creem.dispute(paymentId, 242)
  t.match(reversalsIn(await factsOf(dispute)), [{ amount: 242 }, { amount: 363 }])
  const asked = await provider.fetch({ purchaseId: 'p', checkoutId: null, paymentId })
  for (const facts of [asked, await factsOf(refund)]) {
    const sum = reversalsIn(facts).reduce((total, { amount }) => total + amount, 0)
    t.equal(sum, 605, 'however it is split')
  }
})

t.test('refunds and disputes of what a plan cost are none of a purchase', async (t) => {
  const { creem, factsOf, begin, warnings } = await openKit(t)
  const [, , paid] = creem.subscribe(await begin({ priceId: PLAN }))
  const paymentId = paid?.object.last_transaction_id
  for (const checkout of creem.checkouts.values()) checkout.metadata = { accountId: 'alice' }
  t.strictSame(await factsOf(creem.refundPayment(paymentId, 100)), [])
  t.strictSame(await factsOf(creem.dispute(paymentId)), [])
  const about = { paymentId, subscriptionId: [...creem.subscriptions.keys()][0] }
  t.match(warnings, [
    [about, /refunded or disputed/],
    [about, /refunded or disputed/],
  ])
})

const subscribed = async (kit: Kit) => {
  const events = kit.creem.subscribe(await kit.begin({ priceId: PLAN }))
  const [id] = [...kit.creem.subscriptions.keys()]
  return { events, id: String(id) }
}

t.test('a checkout of a plan links its subscription and pays for nothing', async (t) => {
  const kit = await openKit(t)
  const { events, id } = await subscribed(kit)
  const [completed, active, paid] = events
  const link = { kind: 'subscription', subscriptionId: id, accountId: 'alice', status: 'active' }
  for (const event of [completed, active]) {
    const facts = await kit.factsOf(event ?? {})
    t.match(facts, [{ ...link, willEnd: false }])
    t.equal(facts.length, 1)
    t.ok(facts[0]?.priceIds.includes(PLAN))
  }
  t.match(await kit.factsOf(paid ?? {}), [
    link,
    { kind: 'subscription_paid', subscriptionId: id, accountId: 'alice', reason: 'create' },
  ])
})

t.test('a checkout of a plan links without a key, too', async (t) => {
  const { creem, factsOf, begin } = await openKit(t, { apiKey: null })
  const [completed] = creem.subscribe(await begin({ priceId: PLAN }))
  t.match(await factsOf(completed ?? {}), [
    { kind: 'subscription', accountId: 'alice', priceIds: [PLAN], status: 'active' },
  ])
  const subscription = completed?.object.subscription.id
  const bare = { ...completed, object: { ...completed?.object, subscription } }
  t.match(await factsOf(bare), [
    { kind: 'subscription', subscriptionId: subscription, accountId: 'alice', priceIds: [PLAN] },
  ])
})

t.test('each paid period is told by its transaction and its own dates', async (t) => {
  const kit = await openKit(t)
  const { events, id } = await subscribed(kit)
  const first = events[2]
  const second = kit.creem.renew(id)
  const facts = [...(await kit.factsOf(first ?? {})), ...(await kit.factsOf(second))]
  const paid = facts.filter(({ kind }) => kind === 'subscription_paid')
  t.match(paid, [
    { paymentId: first?.object.last_transaction_id, reason: 'create', amountPaid: 1500 },
    { paymentId: second.object.last_transaction_id, reason: 'cycle', amountPaid: 1500 },
  ])
  t.equal(paid[0]?.periodStartMs, Date.parse(first?.object.current_period_start_date))
  t.equal(paid[0]?.periodEndMs, Date.parse(first?.object.current_period_end_date))
  t.equal(paid[1]?.periodStartMs, paid[0]?.periodEndMs)
  t.equal(facts[0]?.periodEndMs, paid[1]?.periodEndMs, 'its state is that of now')
})

t.test('all that happens to a subscription is told by how it is now', async (t) => {
  const kit = await openKit(t)
  const { id } = await subscribed(kit)
  const cases = [
    ['active', 'active', 'active', false],
    ['trialing', 'trialing', 'trialing', false],
    ['update', 'active', 'active', false],
    ['past_due', 'past_due', 'past_due', false],
    ['unpaid', 'unpaid', 'unpaid', false],
    ['paused', 'paused', 'paused', false],
    ['scheduled_cancel', 'scheduled_cancel', 'active', true],
    ['expired', 'expired', 'past_due', false],
    ['canceled', 'canceled', 'canceled', true],
    ['update', 'a status of another year', 'unpaid', false],
  ] as const
  for (const [type, status, told, willEnd] of cases) {
    const event = kit.creem.change(id, type, { status })
    const facts = await kit.factsOf(event)
    t.match(facts, [{ kind: 'subscription', status: told, willEnd }], type)
    t.equal(facts.length, 1, 'and nothing else')
  }
  const late = kit.creem.change(id, 'active', { status: 'active' })
  kit.creem.change(id, 'canceled', { status: 'canceled' })
  t.match(await kit.factsOf(late), [{ status: 'canceled' }], 'a late event takes nothing back')
})

t.test('a subscription that has expired may read active, and may come back', async (t) => {
  const kit = await openKit(t)
  const { id } = await subscribed(kit)
  const past = '2024-12-16T12:39:47.000Z'
  const dates = { current_period_start_date: past, current_period_end_date: past }
  const expired = kit.creem.change(id, 'expired', { status: 'active', ...dates })
  t.match(await kit.factsOf(expired), [{ status: 'past_due', willEnd: false }])
  kit.creem.change(id, 'active', { current_period_end_date: '2999-01-01T00:00:00.000Z' })
  t.match(await kit.factsOf(expired), [{ status: 'active' }])
})

t.test("Creem's own credits of a customer are not looked at", async (t) => {
  const { creem, factsOf, begin } = await openKit(t)
  const event = creem.pay(await begin())
  const plain = await factsOf(event)
  const feature = [{ id: 'feat_1', type: 'customerCredits', credits: { amount: '5000' } }]
  t.strictSame(await factsOf({ ...event, object: { ...event.object, feature } }), plain)
})

t.test('while Creem is away an event waits, and what it can tell alone it tells', async (t) => {
  const { creem, factsOf, begin } = await openKit(t)
  const paid = creem.pay(await begin())
  const refund = creem.refundPayment(paid.object.order.transaction)
  creem.fault = 503
  t.match(await factsOf(paid), [{ state: 'paid' }])
  await t.rejects(factsOf(refund), { code: 'provider_unavailable' })
})

t.test('garbage in every field is an event that tells nothing', async (t) => {
  const { factsOf } = await openKit(t)
  const bad = [null, 0, -1, 1.5, '', '\u0000', 'x'.repeat(300), [], {}, { id: {} }, true, 2 ** 60]
  const names = ['order', 'product', 'transaction', 'subscription', 'checkout', 'metadata']
  const kinds = ['checkout.completed', 'refund.created', 'dispute.created', 'subscription.paid']
  let count = 0
  for (const eventType of kinds) {
    for (const value of bad) {
      const object = Object.fromEntries(names.map((name) => [name, value]))
      const id = `evt_${++count}`
      const event = { id, eventType, object: { ...object, id: 'x_1', object: 'x', units: value } }
      const facts = await factsOf(event)
      t.ok(
        facts.every(({ kind }) => kind === 'subscription'),
        `${eventType} ${String(value)}`,
      )
    }
  }
})

t.test('a checkout can be asked for, in each of its states', async (t) => {
  const { creem, provider, begin } = await openKit(t)
  const fetch = (checkoutId: string) =>
    provider.fetch({ purchaseId: 'purchase-1', checkoutId, paymentId: null })
  const [open, paid, gone] = [await begin(), await begin(), await begin()]
  creem.pay(paid)
  creem.expire(gone)
  t.strictSame(await fetch(open), [])
  t.match(await fetch(paid), [{ state: 'paid', purchaseId: 'purchase-1', amount: 1210 }])
  t.match(await fetch(gone), [{ state: 'expired', paymentId: null }])
  t.strictSame(await fetch('ch_none'), [])
})

t.test('a reading is as old as its beginning', async (t) => {
  const { creem, begin } = await openKit(t)
  // a clock that ticks with every call that Creem gets
  const now = () => creem.calls.length
  const log = { warn() {} }
  const config = { webhookSecrets: [CREEM_SECRET], apiUrl: creem.url, apiKey: CREEM_KEY, now, log }
  const provider = createCreem(config)
  const checkoutId = await begin()
  const paid = creem.pay(checkoutId)
  const paymentId = paid.object.order.transaction
  const refund = creem.refundPayment(paymentId, 100)
  const agesIn = (facts: readonly object[]) =>
    facts.flatMap((fact) => ('asOfMs' in fact ? [fact.asOfMs] : []))
  const events = [refund, ...creem.subscribe(await begin({ priceId: PLAN })).slice(1, 2)]
  for (const event of events) {
    const before = now()
    const facts = await provider.factsOf(provider.verifyAndParse(creem.signed(event)))
    t.strictSame(agesIn(facts), [before], event.eventType)
  }
  const before = now()
  const purchase = { purchaseId: 'purchase-1', checkoutId, paymentId }
  t.strictSame(agesIn(await provider.fetch(purchase)), [before])
  const listed: unknown[] = []
  const start = now()
  for await (const page of provider.list(0)) listed.push(...agesIn(page))
  t.strictSame(listed, [start, start + 1], 'each page by itself')
})
