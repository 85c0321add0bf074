import t from 'tap'
import { createCreem } from '../../src/purchases/providers/creem.js'
import { CREEM_KEY } from '../helpers/creem-stand-in.js'
import { checkoutOf, openKit, PACK, PLAN } from './creem-kit.js'

t.test('a checkout is begun with the product, our ids and one unit', async (t) => {
  const { provider, creem } = await openKit(t)
  const made = await provider.create(checkoutOf())
  t.match(made, { checkoutUrl: `${'https://checkout.creem.io'}/${made.checkoutId}` })
  t.equal(made.expiresAtMs, null)
  t.strictSame(
    creem.calls.map(({ path, body }) => ({ path, body })),
    [
      {
        path: 'POST /v1/checkouts',
        body: {
          product_id: PACK,
          request_id: 'purchase-1',
          units: 1,
          metadata: { purchaseId: 'purchase-1', accountId: 'alice', packageId: 'pkg_starter' },
          customer: { email: 'alice@example.com' },
          success_url: 'https://shop.example.com/thanks',
        },
      },
    ],
  )
  t.equal(creem.calls[0]?.headers['x-api-key'], CREEM_KEY)
})

t.test('what is not known of the buyer is not sent', async (t) => {
  const { provider, creem } = await openKit(t)
  await provider.create({ ...checkoutOf(), email: null, successUrl: null })
  const [call] = creem.calls
  t.notOk('customer' in (call?.body ?? {}) || 'success_url' in (call?.body ?? {}))
})

t.test('a package without a product at Creem is refused before anything is sent', async (t) => {
  const { provider, creem } = await openKit(t)
  const refused = provider.create({ ...checkoutOf(), priceId: null })
  await t.rejects(refused, { code: 'provider_refused', message: /pkg_starter.*no product/ })
  t.equal(creem.calls.length, 0)
})

t.test('without a key nothing is sold or asked, and events are read all the same', async (t) => {
  const { provider, creem, factsOf, begin } = await openKit(t, { apiKey: null })
  const id = await begin()
  const before = creem.calls.length
  await t.rejects(provider.create(checkoutOf()), {
    code: 'provider_refused',
    message: /CREEM_API_KEY is not set/,
  })
  await t.rejects(
    provider.refund({ purchaseId: 'p', paymentId: 'tran_1', amount: null, key: 'k' }),
    { code: 'provider_refused' },
  )
  const pages: unknown[] = []
  for await (const page of provider.list(0)) pages.push(...page)
  t.strictSame(pages, [])
  t.strictSame(await provider.fetch({ purchaseId: 'p', checkoutId: id, paymentId: 'tran_1' }), [])
  t.match(await factsOf(creem.pay(id)), [{ kind: 'checkout', state: 'paid' }])
  t.equal(creem.calls.length, before, 'nobody was called')
})

t.test('what may pass is told apart from what will not', async (t) => {
  const { provider, creem } = await openKit(t)
  for (const fault of [500, 503, 429, 408, 'reset', 'garbage'] as const) {
    creem.fault = fault
    await t.rejects(provider.create(checkoutOf()), { code: 'provider_unavailable' }, `${fault}`)
  }
  for (const fault of [400, 401, 403, 404, 409, 422, 302]) {
    creem.fault = fault
    await t.rejects(provider.create(checkoutOf()), { code: 'provider_refused' }, `${fault}`)
  }
  const elsewhere = creem.calls.filter(({ path }) => path.endsWith('/elsewhere'))
  t.strictSame(elsewhere, [], 'the key is not sent on')
  creem.fault = null
  await t.rejects(provider.create({ ...checkoutOf(), priceId: 'prod_gone' }), {
    code: 'provider_refused',
    message: 'Creem answered 404: Product prod_gone not found',
  })
})

t.test('a call that gets no answer ends in time', async (t) => {
  const { creem } = await openKit(t)
  creem.fault = 'hang'
  const settings = { webhookSecrets: [], apiUrl: creem.url, now: Date.now, log: { warn() {} } }
  const provider = createCreem({ ...settings, apiKey: CREEM_KEY, timeoutMs: 100 })
  const startedMs = performance.now()
  await t.rejects(provider.create(checkoutOf()), {
    code: 'provider_unavailable',
    message: /did not answer in time/,
  })
  t.ok(performance.now() - startedMs < 5_000)
})

t.test('no failure holds the key, nor where it was sent', async (t) => {
  const { creem } = await openKit(t)
  const secret = `creem_test_${'s'.repeat(20)}`
  const settings = {
    webhookSecrets: [],
    now: Date.now,
    log: { warn() {} },
    apiKey: secret,
    timeoutMs: 1_000,
  }
  const product = { ...checkoutOf(), priceId: secret }
  const failures = [400, 403, 500, 'reset', 'garbage'].map(async (fault) => {
    const { creem } = await openKit(t)
    creem.fault = fault as typeof creem.fault
    return createCreem({ ...settings, apiUrl: creem.url }).create(product)
  })
  failures.push(createCreem({ ...settings, apiUrl: 'http://127.0.0.1:1' }).create(product))
  failures.push(createCreem({ ...settings, apiUrl: creem.url }).create(product))
  for (const outcome of await Promise.allSettled(failures)) {
    t.equal(outcome.status, 'rejected')
    const { message, fields, cause } = (outcome as PromiseRejectedResult).reason
    t.notMatch(JSON.stringify([message, fields, String(cause)]), secret)
    t.notMatch(message, /127\.0\.0\.1/)
  }
})

t.test('a key that Creem repeats in a refusal is blotted out', async (t) => {
  const { creem } = await openKit(t)
  const settings = { webhookSecrets: [], apiUrl: creem.url, now: Date.now, log: { warn() {} } }
  const provider = createCreem({ ...settings, apiKey: CREEM_KEY })
  await t.rejects(provider.create({ ...checkoutOf(), priceId: CREEM_KEY }), {
    message: 'Creem answered 404: Product *** not found',
  })
})

t.test('a payment is refunded whole, once, and is told as Creem has it then', async (t) => {
  const { provider, creem, begin } = await openKit(t)
  const checkoutId = await begin()
  const paymentId = creem.pay(checkoutId).object.order.transaction
  const payment = { purchaseId: 'purchase-1', paymentId, amount: null, key: 'k' }
  const told = { purchaseId: 'purchase-1', paymentId, paidAmount: 1210, currency: 'USD' }
  const reversals = [{ type: 'refund', amount: 1210, state: 'succeeded' }]
  t.match(await provider.refund(payment), [{ ...told, reversals }])
  t.match(await provider.refund(payment), [{ ...told, reversals }], 'repeated')
  t.equal(creem.calls.filter(({ path }) => path === 'POST /v1/refunds').length, 1)
})

t.test('a part is refused in words that tell what to do', async (t) => {
  const { provider, creem, begin } = await openKit(t)
  const paymentId = creem.pay(await begin()).object.order.transaction
  const payment = { purchaseId: 'purchase-1', paymentId, key: 'k' }
  await t.rejects(provider.refund({ ...payment, amount: 605 }), {
    code: 'provider_refused',
    message: /dashboard/,
    fields: { refundable: 1210 },
  })
  creem.refundPayment(paymentId, 605)
  const [fact] = await provider.refund({ ...payment, amount: 605 })
  t.match(fact, { reversals: [{ amount: 1210, state: 'succeeded' }] }, 'all that is left')
  await t.rejects(provider.refund({ ...payment, paymentId: 'tran_none', amount: null }), {
    code: 'provider_refused',
    message: /no transaction tran_none/,
  })
})

t.test('a checkout of a plan is begun like any other', async (t) => {
  const { provider, creem } = await openKit(t)
  await provider.create({ ...checkoutOf(), priceId: PLAN })
  t.equal(creem.calls[0]?.body.product_id, PLAN)
})
