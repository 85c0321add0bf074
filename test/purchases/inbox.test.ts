import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { AppError } from '../../src/errors.js'
import { KEPT_MS, LEASE_MS, pauseAfter, RETRY_FOR_MS } from '../../src/purchases/inbox/store.js'
import { startStripe } from '../helpers/stripe-stand-in.js'
import { CREDITS, openCreemShop } from './creem-shop.js'
import { begin, type InboxScene, openInbox, SECRET, send } from './inbox-kit.js'
import { eventOf, type StripeEvent } from './stripe-kit.js'

const POLL_MS = 5
const DEADLINE_MS = 10_000

const until = async (isSo: () => boolean | Promise<boolean>): Promise<void> => {
  const endMs = performance.now() + DEADLINE_MS
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error('it did not come to that')
    await sleep(POLL_MS)
  }
}

const allProcessed = (scene: InboxScene) => () =>
  scene.rows().then((rows) => rows.every((row) => row.processed_at !== null))

/** A checkout that was paid, and the event that says so. */
const paid = async (scene: InboxScene): Promise<StripeEvent> => {
  const id = await begin(scene)
  scene.world.pay(id)
  return eventOf('checkout.session.completed', scene.world.sessionOf(id))
}

/** Without the request's own worker, which would be quicker than any job. */
const asleep = async (t: Parameters<typeof openInbox>[0]): Promise<InboxScene> => {
  const scene = await openInbox(t)
  await scene.inbox.close()
  return scene
}

t.test('an event is kept, answered, and only then worked on', async (t) => {
  const scene = await openInbox(t)
  let letGo = () => {}
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  scene.answer(async () => {
    await held
    return { kind: 'applied' }
  })
  const event = await paid(scene)
  const reply = await scene.send(event)
  t.match(reply, { status: 200, body: { received: true } })
  await until(() => scene.facts.length === 1)
  const [row] = await scene.rows()
  t.match(row, { external_event_id: event.id, attempts: 1, processed_at: null })
  letGo()
  await until(allProcessed(scene))
  t.match(await scene.rows(), [{ outcome: 'applied', last_error: null, dead_at: null }])
})

t.test('the body is kept byte by byte, and of the headers nothing secret', async (t) => {
  const scene = await asleep(t)
  const text = `${JSON.stringify(await paid(scene), null, 2)}\n  `
  const headers = { 'user-agent': 'Stripe/1.0', authorization: 'Bearer x', cookie: 'a=b' }
  t.equal((await scene.send(text, { headers })).status, 200)
  const [row] = await scene.rows()
  t.equal(row?.raw.toString(), text)
  t.same(row?.headers, {
    'content-type': 'application/json; charset=utf-8',
    'user-agent': 'Stripe/1.0',
  })
})

t.test('one event twenty times at once is one event', async (t) => {
  const scene = await openInbox(t)
  const event = await paid(scene)
  const replies = await Promise.all(Array.from({ length: 20 }, () => scene.send(event)))
  t.same(new Set(replies.map(({ status }) => status)), new Set([200]))
  await until(allProcessed(scene))
  t.equal((await scene.send(event)).status, 200, 'and later')
  await scene.inbox.work()
  t.equal((await scene.rows()).length, 1)
  t.equal(scene.facts.length, 1)
})

t.test('each event is worked on by one of many workers', async (t) => {
  const scene = await asleep(t)
  const event = await paid(scene)
  for (let n = 0; n < 40; n += 1) await scene.send({ ...event, id: `evt_${n}` })
  const others = await Promise.all([1, 2].map(() => openInbox(t, { beside: scene })))
  const counts = await Promise.all(
    others.flatMap(({ inbox }) => [inbox.work(), inbox.work(), inbox.work()]),
  )
  t.equal(
    counts.reduce((sum, count) => sum + count, 0),
    40,
  )
  t.equal(others.flatMap(({ facts }) => facts).length, 40)
  t.ok(await allProcessed(scene)())
})

t.test('what was kept when the service was killed is done by another', async (t) => {
  const scene = await asleep(t)
  await scene.send(await paid(scene))
  t.match(await scene.rows(), [{ attempts: 0, processed_at: null }])
  const other = await openInbox(t, { beside: scene })
  t.equal(await other.inbox.work(), 1)
  t.match(await other.rows(), [{ attempts: 1, outcome: 'applied' }])
})

t.test('what hangs in one instance is taken over when its lease has ended', async (t) => {
  const scene = await openInbox(t)
  let letGo = () => {}
  scene.answer(async () => {
    await new Promise<void>((resolve) => {
      letGo = resolve
    })
    return { kind: 'parked', reason: 'it was asleep' }
  })
  await scene.send(await paid(scene))
  await until(() => scene.facts.length === 1)
  const other = await openInbox(t, { beside: scene })
  t.equal(await other.inbox.work(), 0, 'nobody takes what another has')
  other.clock.aheadMs = LEASE_MS + 1_000
  t.equal(await other.inbox.work(), 1)
  letGo()
  await scene.inbox.close()
  const after = await other.rows()
  t.match(
    after,
    [{ attempts: 2, outcome: 'applied', last_error: null }],
    'the late one is too late',
  )
})

t.test('an instance that comes back too late changes nothing of what others found', async (t) => {
  const scene = await openInbox(t)
  let letGo = () => {}
  scene.answer(async () => {
    await new Promise<void>((resolve) => {
      letGo = resolve
    })
    return { kind: 'refused', reason: 'it was asleep' }
  })
  await scene.send(await paid(scene))
  await until(() => scene.facts.length === 1)
  const other = await openInbox(t, { beside: scene })
  other.answer(() => ({ kind: 'parked', reason: 'not yet' }))
  other.clock.aheadMs = LEASE_MS + 1_000
  t.equal(await other.inbox.work(), 1)
  letGo()
  await scene.inbox.close()
  t.match(await other.rows(), [{ attempts: 2, dead_at: null, last_error: 'not yet' }])
})

t.test('an event that somebody holds keeps no other one waiting', async (t) => {
  const scene = await asleep(t)
  const event = await paid(scene)
  for (const n of [1, 2, 3]) await scene.send({ ...event, id: `evt_${n}` })
  const other = await openInbox(t, { beside: scene })
  const holder = await scene.db.pool.connect()
  try {
    await holder.query('begin')
    await holder.query(`select 1 from webhook_inbox where external_event_id = 'evt_1' for update`)
    t.equal(await other.inbox.work(), 2)
    await holder.query('rollback')
  } finally {
    holder.release()
  }
  t.equal(await other.inbox.work(), 1)
})

t.test('what waits for something is tried again, seconds apart, then hours', async (t) => {
  t.same([1, 2, 3, 11, 12, 1_000].map(pauseAfter), [
    ...[2_000, 4_000, 8_000],
    ...[2_048_000, 3_600_000, 3_600_000],
  ])
  const scene = await asleep(t)
  await scene.send(await paid(scene))
  const other = await openInbox(t, { beside: scene })
  other.answer(() => ({ kind: 'parked', reason: 'the purchase is not here yet' }))
  const startMs = Date.now()
  let attempts = 0
  while (Date.now() + other.clock.aheadMs < startMs + RETRY_FOR_MS - 7_200_000) {
    t.equal(await other.inbox.work(), 1)
    t.equal(await other.inbox.work(), 0)
    attempts += 1
    other.clock.aheadMs += pauseAfter(attempts) + 200
  }
  t.ok(attempts > 70 && attempts < 90, `${attempts} attempts`)
  t.match(await other.rows(), [
    { attempts, dead_at: null, processed_at: null, last_error: 'the purchase is not here yet' },
  ])
  other.clock.aheadMs += 7_200_000
  t.equal(await other.inbox.work(), 1)
  t.match(await other.rows(), [{ attempts: attempts + 1, dead_at: Date }], 'after three days')
  other.clock.aheadMs += 7_200_000
  t.equal(await other.inbox.work(), 0)
})

t.test('what comes before that which it waits for is applied when that has come', async (t) => {
  const scene = await openInbox(t)
  scene.answer(() => ({ kind: 'parked', reason: 'not yet' }))
  await scene.send(await paid(scene))
  await until(async () => (await scene.rows())[0]?.last_error === 'not yet')
  scene.answer(() => ({ kind: 'applied' }))
  t.equal(await scene.inbox.work(), 0, 'not before its time')
  scene.clock.aheadMs += 2_001
  t.equal(await scene.inbox.work(), 1)
  t.match(await scene.rows(), [{ outcome: 'applied', last_error: null }])
})

t.test('what contradicts is dead at once, and can be replayed', async (t) => {
  const scene = await openInbox(t)
  scene.answer(() => ({ kind: 'refused', reason: 'the currency is EUR' }))
  await scene.send(await paid(scene))
  await until(async () => (await scene.store.figures()).dead === 1)
  const [dead] = await scene.store.dead(10)
  t.match(dead, { type: 'checkout.session.completed', reason: 'the currency is EUR', attempts: 1 })
  scene.clock.aheadMs += 3_600_000
  t.equal(await scene.inbox.work(), 0)
  scene.answer(() => ({ kind: 'applied' }))
  t.equal(await scene.store.replay(randomUUID()), 0)
  t.equal(await scene.store.replay(dead?.id ?? ''), 1)
  t.equal(await scene.store.replay(dead?.id ?? ''), 0, 'once')
  t.equal(await scene.inbox.work(), 1)
  t.match(await scene.rows(), [{ outcome: 'applied', dead_at: null, attempts: 1 }])
})

t.test('a provider that is away, and whatever fails here, is tried again', async (t) => {
  const scene = await openInbox(t)
  const faults: [string, () => void, RegExp][] = [
    ['away', () => scene.standIn.fail({ status: 500 }), /Stripe can not be reached/],
    ['hanging', () => scene.standIn.fail('hang'), /Stripe can not be reached/],
    [
      'busy here',
      () =>
        scene.answer(() => {
          throw new AppError('database_unavailable', 'The database is away')
        }),
      /The database is away/,
    ],
    [
      'a defect',
      () =>
        scene.answer(() => {
          throw new TypeError('of undefined')
        }),
      /of undefined/,
    ],
  ]
  for (const [name, begin, reason] of faults) {
    scene.standIn.fail(null)
    const event = await paid(scene)
    begin()
    await scene.send(event)
    const row = async () =>
      (await scene.rows()).find(({ external_event_id: id }) => id === event.id)
    await until(async () => (await row())?.last_error !== null)
    t.match(await row(), { last_error: reason, dead_at: null, processed_at: null }, name)
    scene.standIn.fail(null)
    scene.answer(() => ({ kind: 'applied' }))
    scene.clock.aheadMs += 2_001
    await scene.inbox.work()
    t.match(await row(), { outcome: 'applied', last_error: null }, name)
  }
})

t.test('a provider that hangs holds up none of the events of another', async (t) => {
  const stripe = await startStripe(t)
  const shop = await openCreemShop(t, {
    environment: {
      STRIPE_SECRET_KEY: stripe.apiKey,
      STRIPE_API_URL: stripe.url,
      STRIPE_WEBHOOK_SECRET: SECRET,
    },
  })
  await shop.open('ann')
  stripe.fail('hang')
  for (let n = 0; n < 12; n += 1) {
    const thing = { id: `pi_${n}`, created: 0, metadata: { purchaseId: 'p' } }
    const event = eventOf('payment_intent.succeeded', thing)
    t.equal((await send(shop.app, event)).status, 200)
  }
  await until(() => stripe.requests.length >= 4)
  const { event } = await shop.sell('ann')
  const startMs = performance.now()
  await shop.deliver(event)
  await until(async () => (await shop.balance('ann')).balance === CREDITS)
  const tookMs = performance.now() - startMs
  t.ok(tookMs < 2_500, `${tookMs} ms`)
})

t.test('of a provider that is away one event is tried, and all once it is back', async (t) => {
  const scene = await asleep(t)
  const event = await paid(scene)
  for (let n = 0; n < 12; n += 1) await scene.send({ ...event, id: `evt_${n}` })
  const other = await openInbox(t, { beside: scene })
  scene.standIn.fail({ status: 500 })
  t.equal(await other.inbox.work(), 1)
  scene.standIn.fail(null)
  t.equal(await other.inbox.work(), 11)
  other.clock.aheadMs += 2_001
  t.equal(await other.inbox.work(), 1)
  t.ok(await allProcessed(scene)())
})

t.test('types without meaning and facts of others are ignored, with the reason', async (t) => {
  const scene = await openInbox(t)
  await scene.send(eventOf('customer.tax_id.created', { id: 'txi_1', created: 0 }))
  await until(allProcessed(scene))
  scene.answer(() => ({ kind: 'ignored', reason: 'it names no purchase of ours' }))
  await scene.send(await paid(scene))
  await until(allProcessed(scene))
  t.match(await scene.rows(), [
    { outcome: 'ignored', last_error: 'it tells nothing that concerns us' },
    { outcome: 'ignored', last_error: 'it names no purchase of ours' },
  ])
})

t.test('play money is nothing to a live deployment, nor the reverse', async (t) => {
  for (const isLive of [true, false]) {
    const scene = await openInbox(t, { isLive })
    const right = { ...(await paid(scene)), livemode: isLive }
    const wrong = { ...right, id: 'evt_wrong', livemode: !isLive }
    t.equal((await scene.send(wrong)).status, 200)
    t.match(await scene.rows(), [
      { outcome: 'ignored', attempts: 0, last_error: isLive ? /of test mode/ : /of live mode/ },
    ])
    await scene.send(right)
    await until(allProcessed(scene))
    t.equal(scene.facts.length, 1)
  }
})

t.test('what was done long ago is forgotten, what is dead or waits is not', async (t) => {
  const scene = await openInbox(t)
  const done = await paid(scene)
  await scene.send(done)
  await until(allProcessed(scene))
  scene.answer(() => ({ kind: 'refused', reason: 'no' }))
  await scene.send(await paid(scene))
  await until(async () => (await scene.store.figures()).dead === 1)
  scene.answer(() => ({ kind: 'parked', reason: 'not yet' }))
  await scene.send(await paid(scene))
  await until(async () => (await scene.rows()).some((row) => row.last_error === 'not yet'))
  scene.clock.aheadMs = KEPT_MS - 60_000
  t.equal(await scene.store.prune(), 0)
  scene.clock.aheadMs = KEPT_MS + 60_000
  t.equal(await scene.store.prune(), 1)
  t.equal((await scene.rows()).length, 2)
  const { waiting, dead, oldestMs } = await scene.store.figures()
  t.same([waiting, dead], [1, 1])
  t.ok(Math.abs(oldestMs - KEPT_MS - 60_000) < 30_000)
})
