import t from 'tap'
import type { Thing } from '../helpers/stripe-stand-in.js'
import { eventOf, randomFrom, type StripeEvent, shuffled } from './stripe-kit.js'
import { CREDITS, openShop, PRICE, type Shop, verifyBooks } from './stripe-shop.js'

const COMPLETED = 'checkout.session.completed'
const DAY_MS = 86_400_000

const begin = async (shop: Shop, accountId = 'ann') => {
  const bought = await shop.buy(accountId)
  const paymentId = shop.world.pay(bought.sessionId)
  const [event] = shop.events(bought.sessionId, COMPLETED) as [StripeEvent]
  return { ...bought, paymentId, event, session: shop.world.sessionOf(bought.sessionId) }
}

t.test('a provider that is down while its event is worked on is asked again', async (t) => {
  const shop = await openShop(t)
  const { event, purchaseId } = await begin(shop)
  shop.standIn.fail({ status: 500 })
  await shop.tell(event)
  await shop.runJob('webhooks.inbox')
  t.equal(await shop.status(purchaseId), 'pending')
  shop.standIn.fail(null)
  await shop.settle()
  t.equal(await shop.status(purchaseId), 'completed')
  t.equal((await shop.books('ann')).balance, 100)
  await verifyBooks(t, shop)
})

t.test('an instance that ends between keeping an event and its work leaves it whole', async (t) => {
  const shop = await openShop(t)
  const { event, purchaseId } = await begin(shop)
  // the provider answers nobody until that instance is gone
  shop.standIn.fail('reset')
  await shop.tell(event)
  await shop.close()
  shop.standIn.fail(null)
  const other = await openShop(t, { beside: shop })
  await other.settle()
  t.equal(await other.status(purchaseId), 'completed')
  t.match(await other.books('ann'), { balance: 100, rows: [['grant', 100]] })
  await verifyBooks(t, other)
})

t.test('an event that comes days late counts', async (t) => {
  const shop = await openShop(t)
  const { event, purchaseId } = await begin(shop)
  shop.clock.aheadMs += 3 * DAY_MS
  await shop.tell(event)
  await shop.settle()
  t.equal(await shop.status(purchaseId), 'completed')
})

t.test('amounts in metadata and in the event count for nothing', async (t) => {
  const shop = await openShop(t)
  const { event, session, paymentId } = await begin(shop)
  const metadata = { ...(session.metadata as object), credits: '1000000', amount: '1' }
  session.metadata = metadata
  const intent = shop.standIn.objects.intents.get(paymentId) as Thing
  intent.metadata = metadata
  const { data } = event as unknown as { data: { object: object } }
  await shop.tell({ ...event, data: { object: { ...data.object, metadata, amount_total: 1 } } })
  await shop.settle()
  t.match(await shop.books('ann'), { balance: 100, rows: [['grant', 100]] })
})

t.test('a price or a currency that was not sold is dead, and grants nothing', async (t) => {
  const shop = await openShop(t)
  const wrongs: [string, (session: Thing) => void, RegExp][] = [
    ['price', (session) => Object.assign(session, { amount_subtotal: 499 }), /price is 499/],
    ['currency', (session) => Object.assign(session, { currency: 'jpy' }), /currency is JPY/],
    [
      'quantity',
      (session) => {
        const { data } = session.line_items as { data: { quantity: number }[] }
        for (const line of data) line.quantity = 2
      },
      /quantity is 2/,
    ],
  ]
  for (const [index, [name, spoil, reason]] of wrongs.entries()) {
    const accountId = `buyer-${index}`
    const { event, session } = await begin(shop, accountId)
    spoil(session)
    await shop.tell(event)
    await shop.settle()
    t.match((await shop.dead()).at(-1), { type: COMPLETED, last_error: reason }, name)
    t.match(await shop.books(accountId), { balance: 0, rows: [] }, name)
  }
  await verifyBooks(t, shop)
})

t.test('a payment of a purchase that nobody knows is dead after days, not lost', async (t) => {
  const shop = await openShop(t)
  const { event, session } = await begin(shop)
  session.metadata = { purchaseId: 'pur_of_nobody' }
  await shop.tell(event)
  await shop.settle()
  t.match(await shop.dead(), [{ last_error: /pur_of_nobody/ }])
  t.equal((await shop.books('ann')).balance, 0)
})

t.test('the metrics tell what waits and what is dead', async (t) => {
  const shop = await openShop(t)
  const figures = async () => {
    const { body } = await shop.call('GET', '/metrics')
    const of = (name: string) =>
      Number(new RegExp(`^creditd_webhook_inbox_${name} (\\S+)$`, 'm').exec(body)?.[1])
    return { waiting: of('waiting'), dead: of('dead'), oldest: of('oldest_seconds') }
  }
  t.same(await figures(), { waiting: 0, dead: 0, oldest: 0 })
  const wrong = await begin(shop, 'ann')
  wrong.session.currency = 'jpy'
  await shop.tell(wrong.event)
  await shop.settle()
  const { event } = await begin(shop, 'bob')
  shop.standIn.fail({ status: 500 })
  await shop.tell(event)
  shop.clock.aheadMs += 60_000
  const { waiting, dead, oldest } = await figures()
  t.same({ waiting, dead }, { waiting: 1, dead: 1 })
  t.ok(oldest >= 60 && oldest < 120, `${oldest} s`)
  shop.standIn.fail(null)
  await shop.settle()
  t.match(await figures(), { waiting: 0, dead: 1, oldest: 0 })
  t.equal(await shop.runJob('webhooks.cleanup'), '0 events of payments deleted')
  shop.clock.aheadMs += 100 * DAY_MS
  t.equal(await shop.runJob('webhooks.cleanup'), '1 events of payments deleted')
  t.match(await figures(), { dead: 1 }, 'what is dead stays')
})

type Life = {
  readonly accountId: string
  /** What is still to happen at Stripe; each gives the events that tell of it. */
  readonly steps: (() => StripeEvent[])[]
  /** The credits that are left of it in the end, before anything is spent. */
  readonly expected: number
}

const told = (thing: Thing, ...types: string[]): StripeEvent[] =>
  types.map((type) => eventOf(type, thing))

/** A purchase's whole life at Stripe, which has not begun. */
const lifeOf = async (shop: Shop, accountId: string, random: () => number): Promise<Life> => {
  const { sessionId } = await shop.buy(accountId)
  const { world } = shop
  const isDelayed = random() < 0.5
  let paymentId = ''
  const steps: Life['steps'] = [
    () => {
      paymentId = world.pay(sessionId, { isDelayed })
      return shop.events(sessionId, COMPLETED)
    },
    () => {
      world.settle(sessionId, true)
      const types = [COMPLETED, 'payment_intent.succeeded']
      return shop.events(sessionId, 'checkout.session.async_payment_succeeded', ...types)
    },
  ]
  let reversed = 0
  for (const amount of [150, 150, 100].filter(() => random() < 0.6)) {
    const fails = random() < 0.3
    if (!fails) reversed += amount
    steps.push(...refundSteps(shop, () => paymentId, { amount, fails }))
  }
  if (random() < 0.5) {
    const end = random() < 0.5 ? 'won' : 'lost'
    if (end === 'lost') reversed += PRICE
    steps.push(...disputeSteps(shop, () => paymentId, end))
  }
  const taken = Math.ceil((CREDITS * Math.min(PRICE, reversed)) / PRICE)
  return { accountId, steps, expected: CREDITS - taken }
}

/** One that fails had succeeded before. */
const refundSteps = (
  { world }: Shop,
  paymentOf: () => string,
  { amount, fails }: { readonly amount: number; readonly fails: boolean },
): Life['steps'] => {
  let refund: Thing | undefined
  const change = (status: string, ...types: string[]) => {
    if (!refund) throw new Error('there is no refund yet')
    refund.status = status
    return [...told(refund, ...types), ...told(world.chargeOf(paymentOf()), 'charge.refunded')]
  }
  return [
    () => {
      refund = world.refund(paymentOf(), amount, 'pending')
      return told(refund, 'refund.created')
    },
    () => change('succeeded', 'refund.updated'),
    ...(fails ? [() => change('failed', 'refund.failed', 'refund.updated')] : []),
  ]
}

const disputeSteps = ({ world }: Shop, paymentOf: () => string, end: string): Life['steps'] => {
  let dispute: Thing | undefined
  const change = (values: object, type: string) => {
    if (!dispute) throw new Error('there is no dispute yet')
    Object.assign(dispute, values)
    return told(dispute, type)
  }
  const taken = { id: 'txn_1', amount: -PRICE }
  return [
    () => {
      dispute = world.dispute(paymentOf(), PRICE, 'needs_response')
      return told(dispute, 'charge.dispute.created')
    },
    () => change({ balance_transactions: [taken] }, 'charge.dispute.funds_withdrawn'),
    () => change({ status: end }, 'charge.dispute.closed'),
  ]
}

const LIVES = 24

t.test('whatever the order and however often, the same life ends in the same books', async (t) => {
  const seed = Number(process.env.STRIPE_SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`STRIPE_SEED=${seed}`)
  const random = randomFrom(seed)
  const below = (count: number) => Math.floor(random() * count)
  const shop = await openShop(t)
  const beside = await openShop(t, { beside: shop })
  const lives: Life[] = []
  for (let n = 0; n < LIVES; n += 1) lives.push(await lifeOf(shop, `buyer-${n}`, random))
  const spent = new Map<string, number>()
  const events: StripeEvent[] = []
  const tell = (some: readonly StripeEvent[]) =>
    Promise.all(some.map((event) => (random() < 0.5 ? shop : beside).tell(event)))

  while (lives.some(({ steps }) => steps.length > 0)) {
    for (const { steps } of lives.filter(() => random() < 0.3)) {
      events.push(...(steps.shift()?.() ?? []))
    }
    if (random() < 0.15) shop.standIn.fail({ status: 500, calls: 1 + below(6) })
    await tell(shuffled(events, random).slice(0, below(10)))
    if (random() < 0.3) shop.clock.aheadMs += below(600_000)
    if (random() < 0.6) await (random() < 0.5 ? shop : beside).runJob('webhooks.inbox')
    const { accountId } = lives[below(LIVES)] ?? { accountId: '' }
    const amount = 1 + below(30)
    const charged = await shop.call('POST', `/v1/accounts/${accountId}/charges`, { amount })
    if (charged.status === 201) spent.set(accountId, (spent.get(accountId) ?? 0) + amount)
  }
  shop.standIn.fail(null)
  await tell(shuffled([...events, ...events.filter(() => random() < 0.3)], random))
  await Promise.all([shop.settle(), beside.settle()])

  for (const { accountId, expected } of lives) {
    const { balance, debt, rows } = await shop.books(accountId)
    const left = expected - (spent.get(accountId) ?? 0)
    t.equal(balance - debt, left, `${accountId}: ${JSON.stringify(rows)}`)
    t.ok(rows.filter(([type]) => type === 'grant').length <= 1, `${accountId} was granted once`)
  }
  t.same(await shop.dead(), [])
  await verifyBooks(t, shop)
})
