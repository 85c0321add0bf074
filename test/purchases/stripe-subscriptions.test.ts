import t from 'tap'
import type {
  PaymentFact,
  SubscriptionFact,
  SubscriptionPaidFact,
} from '../../src/payment-facts.js'
import { createStripe } from '../../src/purchases/providers/stripe.js'
import type { TestContext } from '../helpers/database.js'
import { startStripe, type Thing } from '../helpers/stripe-stand-in.js'
import { add, eventOf, signed } from './stripe-kit.js'

const SECRET = 'whsec_of_the_tests'
const START_S = 1_795_255_200
const END_S = START_S + 30 * 86_400
const PERIOD = { periodStartMs: START_S * 1000, periodEndMs: END_S * 1000 }

const openScene = async (t: TestContext) => {
  const standIn = await startStripe(t)
  const { objects } = standIn
  const warnings: unknown[][] = []
  const stripe = createStripe({
    apiKey: standIn.apiKey,
    webhookSecrets: [SECRET],
    apiUrl: standIn.url,
    now: Date.now,
    log: { warn: (...told: unknown[]) => void warnings.push(told) },
  })
  const subscription = (values: Partial<Thing> = {}) =>
    add(objects.subscriptions, 'sub', {
      object: 'subscription',
      status: 'active',
      cancel_at_period_end: false,
      cancel_at: null,
      metadata: { accountId: 'ann' },
      items: {
        data: [
          {
            id: 'si_1',
            price: { id: 'price_pro', product: 'prod_pro' },
            current_period_start: START_S,
            current_period_end: END_S,
          },
        ],
      },
      ...values,
    })
  const invoice = (of: Thing, reason: string, lines: object[], values: Partial<Thing> = {}) =>
    add(objects.invoices, 'in', {
      object: 'invoice',
      status: 'paid',
      billing_reason: reason,
      amount_paid: 1_900,
      parent: { type: 'subscription_details', subscription_details: { subscription: of.id } },
      lines: { object: 'list', data: lines, has_more: false },
      ...values,
    })
  const tell = (type: string, thing: Thing): Promise<readonly PaymentFact[]> => {
    const { payload, headers } = signed(eventOf(type, thing), { secret: SECRET })
    return stripe.factsOf(stripe.verifyAndParse({ body: Buffer.from(payload), headers }))
  }
  return { stripe, standIn, objects, subscription, invoice, tell, warnings }
}

const line = (values: object = {}, item: object = {}) => ({
  id: 'il_1',
  amount: 1_900,
  period: { start: START_S, end: END_S },
  parent: {
    type: 'subscription_item_details',
    subscription_item_details: { proration: false, subscription_item: 'si_1', ...item },
  },
  pricing: { type: 'price_details', price_details: { price: 'price_pro', product: 'prod_pro' } },
  ...values,
})

const paidIn = (facts: readonly PaymentFact[]) =>
  facts.filter((fact): fact is SubscriptionPaidFact => fact.kind === 'subscription_paid')

t.test('every event of a subscription tells how it stands by then', async (t) => {
  const { subscription, tell } = await openScene(t)
  const one = subscription()
  const fact: Omit<SubscriptionFact, 'asOfMs'> = {
    kind: 'subscription',
    provider: 'stripe',
    subscriptionId: one.id,
    accountId: 'ann',
    priceIds: ['price_pro', 'prod_pro'],
    status: 'active',
    willEnd: false,
    ...PERIOD,
  }
  const kinds = ['created', 'updated', 'deleted', 'paused', 'resumed', 'trial_will_end']
  for (const kind of kinds) {
    t.match(await tell(`customer.subscription.${kind}`, one), [fact], kind)
  }
  const stale = structuredClone(one)
  one.cancel_at_period_end = true
  const late = await tell('customer.subscription.created', stale)
  t.match(late, [{ willEnd: true }], 'an event come late tells the present')
  Object.assign(one, { cancel_at_period_end: false, cancel_at: END_S })
  t.match(await tell('customer.subscription.updated', one), [{ willEnd: true }])
  const told: [string, SubscriptionFact['status']][] = [
    ['trialing', 'trialing'],
    ['past_due', 'past_due'],
    ['unpaid', 'unpaid'],
    ['paused', 'paused'],
    ['canceled', 'canceled'],
    ['incomplete', 'unpaid'],
    ['incomplete_expired', 'canceled'],
  ]
  for (const [status, asTold] of told) {
    one.status = status
    t.match(await tell('customer.subscription.updated', one), [{ status: asTold }], status)
  }
})

t.test('whose it is stands in its metadata, or in the checkout that made it', async (t) => {
  const { subscription, objects, tell } = await openScene(t)
  const one = subscription({ metadata: {} })
  t.match(await tell('customer.subscription.created', one), [{ accountId: null }])
  const session = add(objects.sessions, 'cs_test', {
    mode: 'subscription',
    status: 'complete',
    subscription: one.id,
    client_reference_id: 'bob',
    metadata: {},
  })
  t.match(await tell('customer.subscription.created', one), [{ accountId: 'bob' }])
  t.match(await tell('checkout.session.completed', session), [
    { kind: 'subscription', subscriptionId: one.id, accountId: 'bob' },
  ])
  session.metadata = { accountId: 'cy' }
  t.match(await tell('customer.subscription.created', one), [{ accountId: 'cy' }])
  one.metadata = { accountId: 'no id of ours' }
  t.match(await tell('customer.subscription.created', one), [{ accountId: null }])
})

t.test('a paid invoice tells the subscription first, then each period it paid', async (t) => {
  const { subscription, invoice, tell } = await openScene(t)
  const one = subscription()
  const reasons = { subscription_create: 'create', subscription_cycle: 'cycle' }
  for (const [reason, asTold] of Object.entries(reasons)) {
    const bill = invoice(one, reason, [
      line(),
      line({ id: 'il_credit', amount: -900 }, { proration: true }),
      line({ id: 'il_late_upgrade', amount: 700 }, { proration: true }),
      line({ id: 'il_extra', parent: { type: 'invoice_item_details', invoice_item_details: {} } }),
    ])
    const facts = await tell('invoice.paid', bill)
    t.match(facts[0], { kind: 'subscription', subscriptionId: one.id })
    const paid: SubscriptionPaidFact = {
      kind: 'subscription_paid',
      provider: 'stripe',
      subscriptionId: one.id,
      accountId: 'ann',
      priceIds: ['price_pro', 'prod_pro'],
      paymentId: `${bill.id}:il_1`,
      reason: asTold as 'create' | 'cycle',
      amountPaid: 1_900,
      paidAtMs: null,
      ...PERIOD,
    }
    t.same(facts.slice(1), [paid], reason)
  }
})

t.test('an upgrade tells what it costs more, and not what it gives back', async (t) => {
  const { subscription, invoice, tell } = await openScene(t)
  const bill = invoice(subscription(), 'subscription_update', [
    line({ id: 'il_old', amount: -900 }, { proration: true }),
    line({ id: 'il_new', period: { start: START_S + 600, end: END_S } }, { proration: true }),
  ])
  t.match(paidIn(await tell('invoice.paid', bill)), [
    { reason: 'update', paymentId: `${bill.id}:il_new`, periodStartMs: (START_S + 600) * 1000 },
  ])
  t.equal(paidIn(await tell('invoice.paid', bill)).length, 1)
})

t.test('a trial costs nothing; a coupon or credit pays', async (t) => {
  const { subscription, invoice, tell } = await openScene(t)
  const one = subscription({ status: 'trialing' })
  const nothing = { amount_paid: 0 }
  const trial = invoice(one, 'subscription_create', [line({ amount: 0 })], nothing)
  t.match(paidIn(await tell('invoice.paid', trial)), [{ amountPaid: 0 }])
  const free = invoice(one, 'subscription_cycle', [line()], nothing)
  t.match(paidIn(await tell('invoice.paid', free)), [{ amountPaid: 1_900 }])
})

t.test('invoices that begin no period allocate nothing', async (t) => {
  const { subscription, invoice, tell } = await openScene(t)
  const one = subscription()
  for (const reason of ['manual', 'subscription_threshold', 'upcoming', 'quote_accept']) {
    t.same(await tell('invoice.paid', invoice(one, reason, [line()])), [], reason)
  }
  const ofCheckout = invoice(one, 'manual', [line({ parent: null })], { parent: null })
  t.same(await tell('invoice.paid', ofCheckout), [], 'that of a checkout is told by the checkout')
  const open = invoice(one, 'subscription_cycle', [line()], { status: 'open' })
  t.same(await tell('invoice.paid', open), [])
  t.match(await tell('invoice.payment_failed', open), [{ kind: 'subscription' }])
  t.equal((await tell('invoice.payment_failed', open)).length, 1)
})

t.test('objects of older versions of the API tell the same', async (t) => {
  const { subscription, invoice, tell } = await openScene(t)
  const one = subscription({
    items: { data: [{ id: 'si_1', price: { id: 'price_pro', product: { id: 'prod_pro' } } }] },
    current_period_start: START_S,
    current_period_end: END_S,
  })
  t.match(await tell('customer.subscription.updated', one), [
    { priceIds: ['price_pro', 'prod_pro'], ...PERIOD },
  ])
  const old = {
    id: 'il_1',
    amount: 1_900,
    type: 'subscription',
    proration: false,
    period: { start: START_S, end: END_S },
    price: { id: 'price_pro', product: 'prod_pro' },
  }
  const lines = [old, { ...old, id: 'il_2', proration: true }]
  const bill = invoice(one, 'subscription_cycle', lines, { parent: null, subscription: one.id })
  t.match(paidIn(await tell('invoice.paid', bill)), [
    { paymentId: `${bill.id}:il_1`, priceIds: ['price_pro', 'prod_pro'], ...PERIOD },
  ])
  t.equal(paidIn(await tell('invoice.paid', bill)).length, 1)
  t.match(await tell('invoice.payment_failed', bill), [{ subscriptionId: one.id }])
})

t.test('all lines of a long invoice are read, and the list has paid ones', async (t) => {
  const { stripe, subscription, invoice, tell } = await openScene(t)
  const all = Array.from({ length: 130 }, (_, n) => line({ id: `il_${n}` }))
  const more = { allLines: all, lines: { data: all.slice(0, 10), has_more: true } }
  const bill = invoice(subscription(), 'subscription_cycle', [], more)
  t.equal(paidIn(await tell('invoice.paid', bill)).length, 130)
  invoice(subscription(), 'subscription_cycle', [line()], { status: 'open' })
  const facts: PaymentFact[] = []
  for await (const some of stripe.list(Date.now() - 60_000)) facts.push(...some)
  t.equal(facts.filter(({ kind }) => kind === 'subscription_paid').length, 130)
})

t.test('what is taken back of a subscription is no fact, and the log warns of it', async (t) => {
  const { subscription, invoice, objects, tell, warnings } = await openScene(t)
  const one = subscription()
  const bill = invoice(one, 'subscription_cycle', [line()])
  const intent = { object: 'payment_intent', currency: 'usd', amount_received: 1_900 }
  const { id: paymentId } = add(objects.intents, 'pi', { ...intent, metadata: {} })
  const { id: foreign } = add(objects.intents, 'pi', { ...intent, metadata: {} })
  add(objects.invoicePayments, 'inpay', {
    ...{ object: 'invoice_payment', invoice: bill.id, 'payment[payment_intent]': paymentId },
  })
  const back = { object: 'refund', amount: 1_900, currency: 'usd', status: 'succeeded' }
  const refund = add(objects.refunds, 're', { ...back, payment_intent: paymentId })
  t.same(await tell('refund.created', refund), [])
  const dispute = { object: 'dispute', amount: 1_900, currency: 'usd', status: 'lost' }
  const lost = add(objects.disputes, 'dp', { ...dispute, payment_intent: paymentId })
  t.same(await tell('charge.dispute.closed', lost), [])
  const about = { subscriptionId: one.id, paymentId }
  t.match(warnings, [
    [about, /refunded or disputed/],
    [about, /refunded or disputed/],
  ])
  const other = add(objects.refunds, 're', { ...back, payment_intent: foreign })
  t.same(await tell('refund.created', other), [])
  t.equal(warnings.length, 2, 'others are none of ours')
})
