import t from 'tap'
import { composeLookAtProviders, noteLook } from '../../src/compose-provider-reconcile.js'
import type { TakeFact } from '../../src/payment-facts.js'
import { FARTHEST_BACK_MS, sinceOf } from '../../src/purchases/reconcile.js'
import type { TestContext } from '../helpers/database.js'
import { startStripe } from '../helpers/stripe-stand-in.js'
import { CREDITS, type CreemShop, openCreemShop, PAID } from './creem-shop.js'
import { createWorld } from './stripe-kit.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const JOB = 'purchases.reconcile'

/** A shop that sells through both, and two hours to pass before anybody is asked. */
const openBoth = async (t: TestContext, beside?: CreemShop) => {
  const stripe = await startStripe(t)
  const shop = await openCreemShop(t, {
    ...(beside && { beside }),
    environment: {
      STRIPE_SECRET_KEY: stripe.apiKey,
      STRIPE_API_URL: stripe.url,
      STRIPE_WEBHOOK_SECRET: 'whsec_of_stripe_in_the_tests',
      DISPUTE_FREEZES_ACCOUNT: 'true',
    },
  })
  const world = createWorld(stripe)
  const sellByStripe = async (accountId: string) => {
    const { purchaseId: id } = await shop.buy(accountId, {
      provider: 'stripe',
      successUrl: 'https://shop.example.com/thanks',
    })
    const session = [...stripe.objects.sessions.values()].find(
      ({ client_reference_id: reference }) => reference === id,
    )
    const sessionId = String(session?.id)
    return { id, sessionId, paymentId: world.pay(sessionId) }
  }
  return { ...shop, stripe, world, sellByStripe }
}

const both = (creem: string, stripe: string) =>
  new RegExp(
    `^(creem done: ${creem}; stripe done: ${stripe}|stripe done: ${stripe}; creem done: ${creem})$`,
  )

t.test('payments whose events were lost are credited, once, by whichever provider', async (t) => {
  const shop = await openBoth(t)
  for (const account of ['ann', 'bob', 'eve']) await shop.open(account)
  const byCreem = await shop.sell('ann')
  const byStripe = await shop.sellByStripe('bob')
  const unpaid = await shop.buy('eve', { provider: 'creem' })
  shop.clock.aheadMs = 2 * HOUR_MS
  t.match(await shop.runJob(JOB), both('1 looked at, 1 repaired.*', '\\d looked at, 1 repaired.*'))
  for (const { id } of [byCreem, byStripe]) {
    t.match(await shop.purchase(id), { status: 'completed' })
  }
  t.match(await shop.purchase(unpaid.purchaseId), { status: 'pending' })
  t.match(await shop.runJob(JOB), both('.* 0 repaired.*', '.* 0 repaired.*'), 'twice: nothing more')
  t.equal(await shop.deliver(byCreem.event), 200, 'and the event, late')
  await shop.settled()
  for (const account of ['ann', 'bob']) {
    t.strictSame(await shop.rows(account), [['grant', CREDITS]], account)
  }
  t.strictSame(await shop.rows('eve'), [])
  await shop.mustBeSound(t)
})

t.test('what went back without a word is clawed back, however old the payment', async (t) => {
  const shop = await openBoth(t)
  const accounts = ['whole', 'part', 'disputed', 'stripe']
  for (const account of accounts) await shop.open(account)
  const sales = []
  for (const account of accounts.slice(0, 3)) {
    const sale = await shop.sell(account)
    await shop.deliver(sale.event)
    sales.push(sale.paymentId)
  }
  const byStripe = await shop.sellByStripe('stripe')
  await shop.call('POST', `/v1/purchases/${byStripe.id}/confirm`, {})
  await shop.settled()
  const [whole, part, disputed] = sales.map(String)
  shop.creem.refundPayment(String(whole))
  shop.creem.refundPayment(String(part), 182)
  shop.creem.dispute(String(disputed))
  for (const paid of shop.creem.transactions.values()) paid.created_at = Date.now() - 90 * DAY_MS
  shop.world.refund(byStripe.paymentId, 250)
  const outcome = await shop.runJob(JOB)
  t.match(outcome, both('3 looked at, 3 repaired.*', '.* 1 repaired.*'))
  const balances = accounts.map(async (account) => (await shop.balance(account)).balance)
  t.strictSame(await Promise.all(balances), [0, 69, 0, 50])
  t.match(await shop.runJob(JOB), both('3 looked at, 0 repaired.*', '.* 0 repaired.*'))
  await shop.mustBeSound(t)
})

t.test('a pending refund is asked for until it has gone through', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const { id, paymentId, event } = await shop.sell('ann')
  await shop.deliver(event)
  await shop.deliver(shop.creem.refundPayment(paymentId, PAID, 'pending'))
  await shop.settled()
  t.equal((await shop.balance('ann')).balance, CREDITS, 'pending moves nothing')
  // out of the list's reach: it is found by asking for it
  Object.assign(shop.creem.transactions.get(paymentId) ?? {}, { unlisted: true })
  shop.clock.aheadMs = 2 * HOUR_MS
  t.match(await shop.runJob(JOB), / 0 repaired/)
  t.equal((await shop.balance('ann')).balance, CREDITS)
  shop.creem.settleRefunds(true)
  t.match(await shop.runJob(JOB), / 1 repaired/)
  t.match(await shop.purchase(id), { status: 'refunded', refundedAmount: PAID })
  t.equal((await shop.balance('ann')).balance, 0)
  const callsBefore = shop.creem.calls.length
  t.match(await shop.runJob(JOB), / 0 repaired/)
  const asked = shop.creem.calls.slice(callsBefore).map(({ path }) => path)
  t.notOk(asked.includes('GET /v1/checkouts'), 'and no longer asked for')
  await shop.mustBeSound(t)
})

t.test('a refund that fails and a dispute that is won days later are made up for', async (t) => {
  const shop = await openBoth(t)
  const accounts = ['refunded', 'disputed', 'inquired']
  const sales = []
  for (const account of accounts) {
    await shop.open(account)
    const sale = await shop.sellByStripe(account)
    await shop.call('POST', `/v1/purchases/${sale.id}/confirm`, {})
    sales.push(sale)
  }
  const [refunded = '', disputed = '', inquired = ''] = sales.map(({ paymentId }) => paymentId)
  const refund = shop.world.refund(refunded, 500)
  const dispute = shop.world.dispute(disputed, 500, 'needs_response', [-500])
  const inquiry = shop.world.dispute(inquired, 500, 'warning_needs_response')
  const night = async () => {
    const startedAtMs = shop.core.now()
    const reports = await lookWith(shop)()
    await noteLook(shop.core, startedAtMs, reports)
    await shop.settled()
    return reports.find(({ provider }) => provider === 'stripe')
  }
  const balances = () =>
    Promise.all(accounts.map(async (account) => (await shop.balance(account)).balance))
  t.match(await night(), { repaired: 3, error: null })
  t.strictSame(await balances(), [0, 0, CREDITS])
  const frozen = async () => (await shop.call('GET', '/v1/accounts/disputed')).body.status
  t.equal(await frozen(), 'frozen')
  for (const days of [1, 2, 3]) {
    shop.clock.aheadMs = days * DAY_MS
    t.match(await night(), { repaired: 0, error: null }, `night ${days}`)
  }
  refund.status = 'failed'
  dispute.status = 'won'
  Object.assign(inquiry, { status: 'needs_response', balance_transactions: [{ amount: -500 }] })
  t.match(await night(), { repaired: 3, error: null })
  t.strictSame(await balances(), [CREDITS, CREDITS, 0])
  t.equal(await frozen(), 'active')
  for (const { id } of sales.slice(0, 2)) {
    t.match(await shop.purchase(id), { status: 'completed', refundedAmount: 0 })
  }
  Object.assign(inquiry, { status: 'lost' })
  await night()
  const calls = shop.stripe.requests.length
  await night()
  const asked = shop.stripe.requests.slice(calls).map(({ path }) => path)
  t.notOk(
    asked.some((path) => path.includes('/pi_')),
    'what has ended is not asked for',
  )
  await shop.mustBeSound(t)
})

t.test('what was told in time is looked at and left alone', async (t) => {
  const shop = await openBoth(t)
  await shop.open('ann')
  const { paymentId, event } = await shop.sell('ann')
  await shop.deliver(event)
  await shop.deliver(shop.creem.refundPayment(paymentId, 121))
  await shop.settled()
  const rows = await shop.rows('ann')
  shop.clock.aheadMs = 2 * HOUR_MS
  t.match(await shop.runJob(JOB), both('1 looked at, 0 repaired.*', '0 looked at, 0 repaired.*'))
  t.strictSame(await shop.rows('ann'), rows)
})

t.test('nobody is asked of a purchase that has just begun', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  await shop.sell('ann')
  shop.clock.aheadMs = HOUR_MS / 2
  t.match(await shop.runJob(JOB), /creem done: 0 looked at/)
  t.strictSame(await shop.rows('ann'), [])
})

t.test('a provider that is down fails alone, and is asked again', async (t) => {
  const shop = await openBoth(t)
  for (const account of ['ann', 'bob']) await shop.open(account)
  await shop.sell('ann')
  await shop.sellByStripe('bob')
  shop.clock.aheadMs = 2 * HOUR_MS
  shop.creem.fault = 503
  const failure = await shop.runJob(JOB).then(
    () => '',
    (error: Error) => error.message,
  )
  t.match(failure, /creem failed: .*503/)
  t.match(failure, /stripe done: .* 1 repaired/)
  t.strictSame(await shop.rows('bob'), [['grant', CREDITS]])
  t.strictSame(await shop.rows('ann'), [])
  shop.creem.fault = null
  shop.stripe.fail({ status: 500 })
  await t.rejects(shop.runJob(JOB), { message: /stripe failed/ })
  t.strictSame(await shop.rows('ann'), [['grant', CREDITS]])
  await shop.mustBeSound(t)
})

t.test('a night looks once, goes on from there, and comes back to what failed', async (t) => {
  const shop = await openBoth(t)
  const look = lookWith(shop)
  shop.creem.fault = 503
  const startedAtMs = shop.core.now()
  const reports = await look({ isDueOnly: true })
  t.strictSame(reports.map(({ provider, error }) => [provider, error === null]).sort(), [
    ['creem', false],
    ['stripe', true],
  ])
  await noteLook(shop.core, startedAtMs, reports)
  shop.creem.fault = null
  const again = await look({ isDueOnly: true })
  t.strictSame(
    again.map(({ provider }) => provider),
    ['creem'],
    'an hour later',
  )
  await noteLook(shop.core, startedAtMs + 1, again)
  t.strictSame(await look({ isDueOnly: true }), [], 'then nobody')
  t.equal((await look()).length, 2, 'an operator may at any time')
  shop.clock.aheadMs = DAY_MS
  const before = shop.stripe.requests.length
  t.equal((await look({ isDueOnly: true })).length, 2, 'both, the night after')
  const created = shop.stripe.requests
    .slice(before)
    .map(({ form }) => Number(form['created[gte]']))
    .filter((since) => !Number.isNaN(since))
  const expected = Math.floor((startedAtMs - DAY_MS) / 1000)
  t.ok(created.includes(expected), 'from a day before the last time')
})

const lookWith = (shop: CreemShop, takePurchases?: TakeFact) => {
  const { takeFact, providers } = shop.services()
  const plans: TakeFact = async () => ({ kind: 'ignored', reason: 'no plans here' })
  const takers = { purchases: takePurchases ?? takeFact, plans }
  return composeLookAtProviders(shop.core, { providers, takers })
}

t.test('it looks back a day more than to the last time, and 35 days at most', async (t) => {
  const nowMs = 1_800_000_000_000
  t.equal(sinceOf(null, nowMs), nowMs - FARTHEST_BACK_MS)
  t.equal(sinceOf(nowMs - 3 * DAY_MS, nowMs), nowMs - 4 * DAY_MS)
  t.equal(sinceOf(nowMs - 300 * DAY_MS, nowMs), nowMs - FARTHEST_BACK_MS)
})

t.test('many looks at once, at two instances, repair once', async (t) => {
  const shop = await openCreemShop(t)
  const other = await openCreemShop(t, { beside: shop })
  await shop.open('ann')
  const sales = []
  for (let count = 0; count < 5; count++) sales.push(await shop.sell('ann'))
  shop.creem.refundPayment(String(sales[0]?.paymentId))
  for (const each of [shop, other]) each.clock.aheadMs = 2 * HOUR_MS
  const looks = [shop, other, shop, other].map((each) => lookWith(each)())
  const events = sales.map(({ event }) => other.deliver(event))
  await Promise.all([...looks, ...events])
  await shop.settled()
  await lookWith(shop)()
  t.equal((await shop.balance('ann')).balance, 4 * CREDITS)
  await shop.mustBeSound(t)
})

t.test('what fails in the middle is done by the next look', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  for (let count = 0; count < 3; count++) await shop.sell('ann')
  shop.clock.aheadMs = 2 * HOUR_MS
  const { takeFact } = shop.services()
  let calls = 0
  const failing: TakeFact = async (fact) => {
    if (fact.kind !== 'checkout' && fact.kind !== 'reversal') throw new Error('not asked for')
    if (++calls === 2) throw new Error('the database went away')
    return takeFact(fact)
  }
  const [report] = await lookWith(shop, failing)()
  t.match(report, { repaired: 2, error: '1 facts could not be taken' })
  t.equal((await shop.balance('ann')).balance, 2 * CREDITS)
  t.match(await lookWith(shop)(), [{ repaired: 1, error: null }])
  t.equal((await shop.balance('ann')).balance, 3 * CREDITS)
  await shop.mustBeSound(t)
})

t.test('what does not fit what was sold is counted and grants nothing', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  const { checkoutId } = await shop.sell('ann')
  const checkout = shop.creem.checkouts.get(checkoutId)
  if (checkout) checkout.units = 2
  shop.clock.aheadMs = 2 * HOUR_MS
  t.match(await shop.runJob(JOB), /1 looked at, 0 repaired, 1 refused, 0 parked/)
  t.strictSame(await shop.rows('ann'), [])
})

t.test('it ends when it is told to', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  await shop.sell('ann')
  shop.clock.aheadMs = 2 * HOUR_MS
  const [report] = await lookWith(shop)({ signal: AbortSignal.abort() })
  t.match(report, { lookedAt: 0 })
  t.not(report?.error, null)
})
