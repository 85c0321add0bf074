import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { CheckoutFact, PaymentFact, ReversalFact } from '../../src/payment-facts.js'
import type { NewCheckout, PaymentProvider } from '../../src/purchases/providers/provider.js'
import { createStripe, isLiveStripeKey } from '../../src/purchases/providers/stripe.js'
import { STRIPE_EVENT_TYPES } from '../../src/purchases/providers/stripe-events.js'
import { ROOT } from '../helpers/cluster.js'
import type { TestContext } from '../helpers/database.js'
import { type StripeStandIn, startStripe, type Thing } from '../helpers/stripe-stand-in.js'
import { createWorld, eventOf, type StripeWorld, signed } from './stripe-kit.js'

const SECRET = 'whsec_of_the_tests'

const WANTED: NewCheckout = {
  purchaseId: 'p-1',
  accountId: 'ann',
  email: 'ann@example.com',
  packageId: 'pkg_starter',
  name: 'Starter',
  credits: 100,
  amount: 500,
  currency: 'USD',
  priceId: null,
  successUrl: 'https://shop.example/done?x=1',
}

type Scene = {
  readonly stripe: PaymentProvider
  readonly standIn: StripeStandIn
  readonly world: StripeWorld
  readonly warnings: unknown[]
  /** What an event about the thing makes known. */
  tell(type: string, thing: Thing, more?: object): Promise<readonly PaymentFact[]>
  /** Begins a checkout; its id. */
  begin(wanted?: Partial<NewCheckout>): Promise<string>
}

const openScene = async (t: TestContext, settings: { apiKey?: string | null } = {}) => {
  const standIn = await startStripe(t)
  const warnings: unknown[] = []
  const stripe = createStripe({
    apiKey: standIn.apiKey,
    webhookSecrets: [SECRET],
    timeoutMs: 500,
    apiUrl: standIn.url,
    now: Date.now,
    log: { warn: (...args: unknown[]) => void warnings.push(args) },
    ...settings,
  })
  const scene: Scene = {
    stripe,
    standIn,
    world: createWorld(standIn),
    warnings,
    tell(type, thing, more) {
      const { payload, headers } = signed(eventOf(type, thing, more), { secret: SECRET })
      return stripe.factsOf(stripe.verifyAndParse({ body: Buffer.from(payload), headers }))
    },
    async begin(wanted = {}) {
      const { checkoutId } = await stripe.create({ ...WANTED, ...wanted })
      return checkoutId ?? ''
    },
  }
  return scene
}

t.test('a checkout is begun once for a purchase, with all that leads back to it', async (t) => {
  const { stripe, standIn } = await openScene(t)
  const checkout = await stripe.create(WANTED)
  t.match(checkout, { checkoutId: /^cs_test_/, checkoutUrl: /^https:\/\/checkout\.stripe\.com/ })
  t.ok((checkout.expiresAtMs ?? 0) > Date.now())
  t.same(await stripe.create(WANTED), checkout, 'the same purchase, the same checkout')
  t.equal(standIn.objects.sessions.size, 1)
  const [request] = standIn.requests
  const metadata = { purchaseId: 'p-1', accountId: 'ann', packageId: 'pkg_starter' }
  const under = (prefix: string) =>
    Object.fromEntries(Object.entries(metadata).map(([key, value]) => [`${prefix}[${key}]`, value]))
  t.same(request?.form, {
    mode: 'payment',
    'line_items[0][price_data][currency]': 'usd',
    'line_items[0][price_data][unit_amount]': '500',
    'line_items[0][price_data][product_data][name]': 'Starter',
    'line_items[0][price_data][product_data][description]': '100 credits',
    'line_items[0][quantity]': '1',
    client_reference_id: 'p-1',
    customer_email: 'ann@example.com',
    success_url: 'https://shop.example/done?x=1',
    cancel_url: 'https://shop.example/done?x=1&canceled=true',
    ...under('metadata'),
    ...under('payment_intent_data[metadata]'),
  })
  t.equal(request?.headers['idempotency-key'], 'purchase:p-1')
  t.equal(request?.headers['x-stripe-client-telemetry'], undefined)

  const withPrice = { ...WANTED, purchaseId: 'p-2', priceId: 'price_7', email: null }
  await stripe.create(withPrice)
  const { form } = standIn.requests.at(-1) ?? { form: {} }
  t.match(form, { 'line_items[0][price]': 'price_7', 'line_items[0][quantity]': '1' })
  t.notMatch(Object.keys(form).join(), /price_data|customer_email/)
})

t.test('what Stripe refuses is told in its words, and never with a key', async (t) => {
  const { stripe, begin, standIn } = await openScene(t)
  await t.rejects(stripe.create({ ...WANTED, email: 'x@refused.example' }), {
    code: 'provider_refused',
    message: 'Stripe refuses: Invalid email address: x@refused.example',
  })
  await t.rejects(stripe.create({ ...WANTED, email: 'sk_test_a1B2@refused.example' }), {
    message: 'Stripe refuses: Invalid email address: …@refused.example',
  })
  await begin()
  await t.rejects(stripe.create({ ...WANTED, amount: 600 }), { code: 'provider_refused' })
  for (const apiKey of ['sk_test_wrong', null]) {
    const { stripe } = await openScene(t, { apiKey })
    const error = await stripe.create(WANTED).catch((error: unknown) => error)
    t.match(error, { code: 'provider_refused' })
    t.notMatch(String((error as Error).message), /sk_/)
  }
  t.equal(standIn.objects.sessions.size, 1)
})

t.test('a Stripe that fails, resets or hangs is unavailable, within its time', async (t) => {
  const { stripe, standIn, begin } = await openScene(t)
  const { requests } = standIn
  for (const fault of [{ status: 500 }, { status: 503 }, { status: 429 }, 'reset'] as const) {
    standIn.fail(fault)
    const before = requests.length
    await t.rejects(stripe.create(WANTED), { code: 'provider_unavailable' }, JSON.stringify(fault))
    t.ok(requests.length - before <= 2, 'once more at most')
  }
  standIn.fail({ status: 500, calls: 1 })
  t.ok(await begin(), 'one failure is overcome')
  standIn.fail('hang')
  const startMs = performance.now()
  await t.rejects(stripe.create(WANTED), { code: 'provider_unavailable' })
  t.ok(performance.now() - startMs < 4_000, 'two times the time of a call, and a pause')
})

t.test('each event of a checkout tells how it stands by then', async (t) => {
  const { begin, tell, world } = await openScene(t)
  const id = await begin()
  const session = world.sessionOf(id)
  t.same(await tell('checkout.session.completed', session), [], 'nobody has finished it')
  const paymentId = world.pay(id, { isDelayed: true })
  const processing: CheckoutFact = {
    kind: 'checkout',
    provider: 'stripe',
    purchaseId: 'p-1',
    checkoutId: id,
    paymentId: null,
    state: 'processing',
    subtotal: 500,
    amount: null,
    currency: 'USD',
    priceId: (session.line_items as { data: { price: { id: string } }[] }).data[0]?.price.id ?? '',
    quantity: 1,
  }
  t.same(await tell('checkout.session.completed', session), [processing])
  world.settle(id, false)
  const failed = { ...processing, state: 'failed' }
  t.same(await tell('checkout.session.async_payment_failed', session), [failed])
  world.settle(id, true)
  const paid = { ...processing, state: 'paid', paymentId, amount: 500 }
  const types = ['completed', 'async_payment_succeeded', 'async_payment_failed', 'expired']
  for (const type of types) {
    t.same(await tell(`checkout.session.${type}`, session), [paid], `${type}, come late`)
  }
  const intent = { id: paymentId, created: 0 }
  t.same(await tell('payment_intent.succeeded', intent), [paid], 'the payment tells the same')
  const other = await begin({ purchaseId: 'p-2' })
  world.expire(other)
  t.match(await tell('checkout.session.expired', world.sessionOf(other)), [{ state: 'expired' }])
})

t.test('what an event says of amounts and purchases counts for nothing', async (t) => {
  const { begin, tell, world } = await openScene(t)
  const id = await begin()
  world.pay(id)
  const told = {
    ...world.sessionOf(id),
    amount_total: 1,
    currency: 'jpy',
    metadata: { purchaseId: 'p-9', credits: '1000000' },
  }
  t.match(await tell('checkout.session.completed', told), [
    { purchaseId: 'p-1', amount: 500, currency: 'USD' },
  ])
})

t.test('checkouts and payments of others are nothing to us', async (t) => {
  const { begin, tell, world, standIn } = await openScene(t)
  const id = await begin()
  const paymentId = world.pay(id)
  const session = world.sessionOf(id)
  const before = standIn.requests.length
  const connected = { account: 'acct_1' }
  t.same(await tell('checkout.session.completed', session, connected), [], 'a connected account')
  t.same(await tell('customer.created', session), [], 'a type of no concern')
  t.same(await tell('constructor', session), [])
  t.equal(standIn.requests.length, before, 'and nobody was asked')
  session.metadata = {}
  const intent = standIn.objects.intents.get(paymentId) as Thing
  intent.metadata = {}
  t.same(await tell('checkout.session.completed', session), [])
  t.same(await tell('payment_intent.succeeded', intent), [])
  t.same(await tell('refund.created', world.refund(paymentId, 10)), [])
})

t.test('a checkout that costs nothing goes by its own id', async (t) => {
  const { begin, tell, world, stripe } = await openScene(t)
  const id = await begin()
  const session = world.sessionOf(id)
  session.payment_status = 'no_payment_required'
  t.same(await tell('checkout.session.completed', session), [], 'not while it is open')
  Object.assign(session, { status: 'complete', amount_total: 0 })
  t.match(await tell('checkout.session.completed', session), [
    { state: 'paid', paymentId: id, subtotal: 500, amount: 0 },
  ])
  t.equal((await stripe.fetch({ purchaseId: 'p-1', checkoutId: id, paymentId: id })).length, 1)
  const payment = { purchaseId: 'p-1', paymentId: id, amount: null, key: 'k' }
  await t.rejects(stripe.refund(payment), { code: 'provider_refused' })
})

t.test('a payment without a checkout speaks for itself', async (t) => {
  const { begin, tell, world, standIn, stripe } = await openScene(t)
  const id = await begin()
  const paymentId = world.pay(id)
  standIn.objects.sessions.delete(id)
  const intent = standIn.objects.intents.get(paymentId) as Thing
  const alone = { checkoutId: null, paymentId, state: 'paid', subtotal: null, amount: 500 }
  t.match(await tell('payment_intent.succeeded', intent), [alone])
  t.match(await stripe.fetch({ purchaseId: 'p-1', checkoutId: null, paymentId }), [alone, {}])
  intent.status = 'requires_payment_method'
  t.same(await tell('payment_intent.payment_failed', intent), [], 'another try may follow')
  intent.status = 'canceled'
  t.match(await tell('payment_intent.canceled', intent), [{ state: 'failed', paymentId: null }])
})

const stateOf = (facts: readonly PaymentFact[]) =>
  (facts[0] as ReversalFact | undefined)?.reversals.map(({ type, amount, state }) => [
    type,
    amount,
    state,
  ])

t.test('every event of a refund or dispute tells all of them as they stand', async (t) => {
  const { begin, tell, world } = await openScene(t)
  const paymentId = world.pay(await begin())
  const refund = world.refund(paymentId, 150, 'pending')
  const beforeMs = Date.now()
  const [fact] = await tell('refund.created', refund)
  t.match(fact, {
    kind: 'reversal',
    purchaseId: 'p-1',
    paymentId,
    paidAmount: 500,
    currency: 'USD',
    reversals: [{ id: refund.id, type: 'refund', amount: 150, state: 'pending' }],
  })
  t.ok((fact as ReversalFact).asOfMs >= beforeMs)
  const charge = world.chargeOf(paymentId)
  const dispute = world.dispute(paymentId, 350, 'needs_response')
  const tellings: [string, Thing][] = [
    ['refund.updated', refund],
    ['refund.failed', refund],
    ['charge.refund.updated', refund],
    ['charge.refunded', charge],
    ['charge.dispute.created', dispute],
    ['charge.dispute.updated', dispute],
    ['charge.dispute.funds_withdrawn', dispute],
    ['charge.dispute.funds_reinstated', dispute],
    ['charge.dispute.closed', dispute],
  ]
  for (const [type, thing] of tellings) {
    t.match(
      stateOf(await tell(type, thing)),
      [
        ['refund', 150, 'pending'],
        ['dispute', 350, 'open'],
      ],
      type,
    )
  }
  const byCharge = { ...refund, payment_intent: null }
  t.match(stateOf(await tell('refund.updated', byCharge))?.length, 2, 'by its charge alone')
})

t.test('states of refunds and disputes are told in the words of the facts', async (t) => {
  const { begin, tell, world } = await openScene(t)
  const paymentId = world.pay(await begin())
  const refund = world.refund(paymentId, 100)
  const dispute = world.dispute(paymentId, 400, 'needs_response')
  const refunds = ['succeeded', 'pending', 'requires_action', 'failed', 'canceled']
  const asTold = ['succeeded', 'pending', 'pending', 'failed', 'failed']
  for (const [index, status] of refunds.entries()) {
    refund.status = status
    t.equal(stateOf(await tell('refund.updated', refund))?.[0]?.[2], asTold[index], status)
  }
  const disputes: [status: string, moved: number[], state: string][] = [
    ['warning_needs_response', [], 'inquiry'],
    ['warning_under_review', [], 'inquiry'],
    ['warning_closed', [], 'closed'],
    ['needs_response', [], 'open'],
    ['needs_response', [-415], 'withdrawn'],
    ['under_review', [-415], 'withdrawn'],
    ['under_review', [-415, 415], 'open'],
    ['won', [-415, 400], 'won'],
    ['lost', [-415], 'lost'],
    ['prevented', [], 'closed'],
  ]
  for (const [status, moved, state] of disputes) {
    dispute.status = status
    dispute.balance_transactions = moved.map((amount) => ({ id: 'txn', amount }))
    t.equal(stateOf(await tell('charge.dispute.updated', dispute))?.[1]?.[2], state, status)
  }
  dispute.currency = 'eur'
  t.equal(stateOf(await tell('charge.dispute.updated', dispute))?.[1]?.[1], 500, 'all is at stake')
})

t.test('a refund is asked for once under its key, and told as it then stands', async (t) => {
  const { begin, world, stripe, standIn } = await openScene(t)
  const paymentId = world.pay(await begin())
  const refund = (amount: number | null, key: string) =>
    stripe.refund({ purchaseId: 'p-1', paymentId, amount, key })
  t.match(stateOf(await refund(150, 'k1')), [['refund', 150, 'succeeded']])
  t.equal(stateOf(await refund(150, 'k1'))?.length, 1, 'the same key')
  t.equal(stateOf(await refund(null, 'k2'))?.length, 2)
  const amounts = [...standIn.objects.refunds.values()].map(({ amount }) => amount)
  t.same(amounts, [150, 350], 'all that was left')
  await t.rejects(refund(1, 'k3'), { code: 'provider_refused', message: /greater than/ })
})

t.test('a fraud warning moves nothing, and is said', async (t) => {
  const { tell, warnings } = await openScene(t)
  const warning = { id: 'issfr_1', created: 0, charge: 'ch_1', payment_intent: 'pi_1' }
  t.same(await tell('radar.early_fraud_warning.created', warning), [])
  t.match(warnings, [[{ warningId: 'issfr_1', charge: 'ch_1' }, /fraud/]])
})

t.test('the list tells what was begun since, page by page', async (t) => {
  const { begin, world, stripe, standIn } = await openScene(t)
  const day = 86_400
  const made: string[] = []
  for (let n = 0; n < 205; n += 1) {
    const id = await begin({ purchaseId: `p-${n}` })
    if (n > 0) world.pay(id)
    made.push(id)
  }
  const oldest = world.sessionOf(made[1] ?? '')
  oldest.created -= 40 * day
  const old = String(oldest.payment_intent)
  world.refund(old, 100)
  const other = String(world.sessionOf(made[2] ?? '').payment_intent)
  world.dispute(other, 500, 'lost').created -= 5 * day
  const facts: PaymentFact[] = []
  for await (const some of stripe.list(Date.now() - 2 * day * 1000)) facts.push(...some)
  const told = facts.flatMap((fact) => (fact.kind === 'checkout' ? [fact.purchaseId] : []))
  t.equal(new Set(told).size, 203, 'all that were paid, but for the old one')
  const reversals = facts.flatMap((fact) => (fact.kind === 'reversal' ? [fact.paymentId] : []))
  t.same(reversals, [old], 'a refund of an old payment, not the old dispute')
  const pages = standIn.requests.filter(
    ({ method, path }) => method === 'GET' && path === '/v1/checkout/sessions',
  )
  t.equal(pages.length, 3)
})

t.test('a key tells its mode', async (t) => {
  for (const [key, mode] of [
    ['sk_live_1', true],
    ['rk_live_1', true],
    ['sk_test_1', false],
    ['rk_test_1', false],
    ['something', null],
    [null, null],
  ] as const) {
    t.equal(isLiveStripeKey(key), mode, String(key))
  }
})

t.test('the guide names the types of events that are read, and no others', async (t) => {
  const guide = readFileSync(join(ROOT, 'docs/webhooks.md'), 'utf8')
  const [, list = ''] = /```text\n([^`]*)```/.exec(guide) ?? []
  t.same(list.trim().split(/\s+/), STRIPE_EVENT_TYPES)
})
