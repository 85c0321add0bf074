import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { createDeliveries } from '../../src/events/deliveries.js'
import { PAUSES_MS, pauseAfter, retryAfterOf } from '../../src/events/pauses.js'
import {
  DAY_MS,
  type EventApp,
  enqueue,
  enqueueMany,
  HOUR_MS,
  isSigned,
  MINUTE_MS,
  openEvents,
  openReceiver,
} from './kit.js'

const waiting = async ({ call }: EventApp, id: string, status = '') =>
  (await call('GET', `/v1/webhook-endpoints/${id}/deliveries${status}`)).body.deliveries

t.test(
  'a receiver is sent what happens from then on, signed, and as the feed has it',
  async (t) => {
    const app = await openEvents(t)
    const receiver = await openReceiver(t)
    await enqueueMany(app, 2)
    await app.runJob('events.relay')
    const { id, secret } = await app.endpoint({ url: receiver.url })
    await enqueue(app, {
      id: '7:low',
      type: 'balance.low',
      data: { available: 4, nested: { a: [1] } },
    })
    await app.deliver()
    t.equal(receiver.received.length, 1, 'nothing from before')
    const [sent] = receiver.received
    const [event] = await app.feed('', 2)
    if (!sent || !event) throw new Error('nothing there')
    const { createdAt, ...rest } = event
    t.same(sent.body, { ...rest, timestamp: createdAt })
    t.match(sent.headers, { 'webhook-id': event.id, 'content-type': 'application/json' })
    t.ok(isSigned(secret, sent))
    t.notOk(isSigned(`whsec_${Buffer.alloc(32).toString('base64')}`, sent))
    t.notOk(isSigned(secret, { ...sent, text: sent.text.replace('4', '5') }))
    t.same(await waiting(app, id), [], 'what was taken leaves nothing behind')
    await app.deliver()
    t.equal(receiver.received.length, 1, 'and is not sent again')
    const { body } = await app.call('GET', `/v1/webhook-endpoints/${id}`)
    t.match(body, { lastDeliveredAt: String, failingSince: null, lastFailure: null })
  },
)

t.test('each endpoint is sent the types it wants', async (t) => {
  const app = await openEvents(t)
  const [low, all] = [await openReceiver(t), await openReceiver(t)]
  await app.endpoint({ url: low.url, types: ['balance.low', 'account.in_debt'] })
  await app.endpoint({ url: all.url })
  const types = ['balance.low', 'purchase.completed', 'account.in_debt', 'grant.expiring']
  await enqueue(app, ...types.map((type, index) => ({ type, id: `${index + 1}:${type}` })))
  await app.deliver()
  const typesOf = ({ received }: typeof low) => received.map(({ body }) => body.type).sort()
  t.same(typesOf(low), ['account.in_debt', 'balance.low'])
  t.same(typesOf(all), types.toSorted())
})

t.test(
  'what is not taken is tried again, the same bytes, later and later, then given up',
  async (t) => {
    const app = await openEvents(t)
    const receiver = await openReceiver(t)
    const { id, secret } = await app.endpoint({ url: receiver.url })
    receiver.answer({ status: 500, body: 'x'.repeat(200_000) })
    await enqueueMany(app, 1)
    await app.deliver()
    for (const [index, pauseMs] of PAUSES_MS.entries()) {
      t.equal(receiver.received.length, index + 1)
      const [delivery] = await waiting(app, id)
      t.match(delivery, { status: 'pending', attempts: index + 1 })
      app.clock.aheadMs += pauseMs * 0.5
      await app.deliver()
      t.equal(receiver.received.length, index + 1, `not before ${pauseMs} ms`)
      app.clock.aheadMs += pauseMs * 0.65
      await app.deliver()
    }
    t.equal(receiver.received.length, PAUSES_MS.length + 1)
    const failed = { status: 'failed', attempts: 10, nextAttemptAt: null, lastStatus: 500 }
    t.match(await waiting(app, id, '?status=failed'), [{ ...failed, lastError: 'it answered 500' }])
    t.same(await waiting(app, id, '?status=pending'), [])
    app.clock.aheadMs += 2 * DAY_MS
    await app.deliver()
    t.equal(receiver.received.length, PAUSES_MS.length + 1, 'it was given up')
    t.equal(new Set(receiver.received.map(({ text }) => text)).size, 1, 'the same bytes')
    const stamps = receiver.received.map(({ headers }) => Number(headers['webhook-timestamp']))
    t.ok(stamps.every((stamp, index) => index === 0 || stamp > (stamps[index - 1] ?? 0)))
    for (const { headers, text } of receiver.received) {
      const at = new Date(Number(headers['webhook-timestamp']) * 1_000)
      const signature = new Webhook(secret).sign(String(headers['webhook-id']), at, text)
      t.equal(headers['webhook-signature'], signature, 'signed anew each time')
    }
    const { body } = await app.call('GET', `/v1/webhook-endpoints/${id}`)
    t.match(body, { enabled: true, failingSince: String, lastFailure: { status: 500 } })
  },
)

t.test('a receiver that comes back gets what it missed', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  const { id } = await app.endpoint({ url: receiver.url })
  receiver.answer({ status: 502 })
  await enqueueMany(app, 30)
  await app.deliver()
  t.equal((await waiting(app, id)).length, 30)
  receiver.answer({ status: 200, body: 'thanks' })
  app.clock.aheadMs += 6_000
  await app.deliver()
  t.same(await waiting(app, id), [])
  const numbers = receiver.received.slice(30).map(({ body }) => body.accountSeq)
  t.same(
    numbers.sort((a, b) => a - b),
    Array.from({ length: 30 }, (_, index) => index + 1),
  )
  const { body } = await app.call('GET', `/v1/webhook-endpoints/${id}`)
  t.match(body, { failingSince: null, lastFailure: { error: 'it answered 502' } })
})

t.test('a slow endpoint holds up no other, also what comes meanwhile', async (t) => {
  const app = await openEvents(t)
  const [slow, quick] = [await openReceiver(t), await openReceiver(t)]
  slow.answer('hang')
  const { id } = await app.endpoint({ url: slow.url })
  const other = await app.endpoint({ url: quick.url })
  await enqueueMany(app, 60)
  await app.runJob('events.relay')
  const stop = new AbortController()
  const run = app.runJob('events.deliver', stop.signal)
  await quick.waitFor(60)
  t.equal(slow.received.length, 10, 'as many at once as one endpoint may have')
  await enqueueMany(app, 5, 61)
  await app.runJob('events.relay')
  await quick.waitFor(65)
  t.equal(slow.received.length, 10)
  // what was taken there is noted a moment later
  while ((await waiting(app, other.id)).length > 0) await app.core.db.pool.query('select 1')
  stop.abort()
  t.equal(await run, '65 events delivered')
  const left = await waiting(app, id, '?status=pending&limit=200')
  t.equal(left.length, 65)
  t.ok(
    left.every(({ attempts }: { attempts: number }) => attempts === 0),
    'to stop is no failure',
  )
  slow.answer({ status: 204 })
  await app.deliver()
  t.equal(slow.received.length, 75, 'given back, and due at once')
})

t.test('two instances send each event once', async (t) => {
  const app = await openEvents(t)
  const other = await openEvents(t, { url: app.url })
  const receiver = await openReceiver(t)
  await app.endpoint({ url: receiver.url })
  await enqueueMany(app, 200)
  await app.runJob('events.relay')
  await Promise.all([app, other].map((each) => each.runJob('events.deliver')))
  t.equal(receiver.received.length, 200)
  t.equal(new Set(receiver.received.map(({ body }) => body.position)).size, 200)
})

t.test('of many who take at once each gets others', async (t) => {
  const app = await openEvents(t)
  await app.endpoint({ url: 'http://127.0.0.1:1/' })
  await app.endpoint({ url: 'http://127.0.0.1:1/' })
  await enqueueMany(app, 100)
  await app.runJob('events.relay')
  const { db, now } = app.core
  const deliveries = createDeliveries({ db, perEndpoint: 40 })
  const takes = Array.from({ length: 8 }, () => deliveries.claim(new Map(), now()))
  const taken = (await Promise.all(takes)).flat()
  const names = taken.map(({ endpointId, event }) => `${endpointId}:${event.position}`)
  t.ok(taken.length >= 80, `${taken.length} taken`)
  t.equal(new Set(names).size, taken.length)
})

t.test('what an instance took and did not finish comes again', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  const { id } = await app.endpoint({ url: receiver.url })
  await enqueueMany(app, 1)
  await app.runJob('events.relay')
  // as a crash leaves it: taken for a minute, by nobody
  await app.core.db.pool.query(`
    update event_deliveries set next_attempt_at = clock_timestamp() + interval '60 seconds'`)
  await app.deliver()
  t.equal(receiver.received.length, 0)
  app.clock.aheadMs = MINUTE_MS + 1_000
  await app.deliver()
  t.equal(receiver.received.length, 1)
  t.same(await waiting(app, id), [])
})

t.test('410 switches an endpoint off; switched on, it gets what waited', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  const { id } = await app.endpoint({ url: receiver.url })
  receiver.answer({ status: 410 })
  await enqueueMany(app, 1)
  await app.deliver()
  const off = { enabled: false, disabledReason: 'it answered 410', disabledAt: String }
  t.match((await app.call('GET', `/v1/webhook-endpoints/${id}`)).body, off)
  const audit = await app.call('GET', '/v1/audit-log?action=webhook_endpoint_disable')
  t.match(audit.body.entries, [
    { actor: 'system', metadata: { endpointId: id, reason: 'it answered 410' } },
  ])
  receiver.answer({ status: 204 })
  await enqueueMany(app, 1, 2)
  app.clock.aheadMs += HOUR_MS
  await app.deliver()
  t.equal(receiver.received.length, 1, 'nothing is sent to it')
  const on = await app.call('POST', `/v1/webhook-endpoints/${id}/enable`)
  t.match(on, { status: 200, body: { enabled: true, disabledAt: null, disabledReason: null } })
  await app.deliver()
  t.same(
    receiver.received.slice(1).map(({ body }) => body.accountSeq),
    [1],
    'what happened while it was off stands in the feed',
  )
  await enqueueMany(app, 1, 3)
  await app.deliver()
  t.match(receiver.received.at(-1)?.body, { accountSeq: 3 })
})

t.test('an endpoint that has only failed for five days is switched off', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  const { id } = await app.endpoint({ url: receiver.url })
  const enabled = async () => (await app.call('GET', `/v1/webhook-endpoints/${id}`)).body.enabled
  receiver.answer({ status: 500 })
  await enqueueMany(app, 1)
  await app.deliver()
  // a month without anything to send: the failure before it says nothing about now
  app.clock.aheadMs += 30 * DAY_MS
  await enqueueMany(app, 1, 2)
  await app.deliver()
  t.equal(await enabled(), true)
  for (let day = 1; day <= 4; day += 1) {
    app.clock.aheadMs += DAY_MS
    await enqueueMany(app, 1, 2 + day)
    await app.deliver()
    t.equal(await enabled(), true, `day ${day}`)
  }
  app.clock.aheadMs += DAY_MS
  await enqueueMany(app, 1, 7)
  await app.deliver()
  t.equal(await enabled(), false)
  const { body } = await app.call('GET', `/v1/webhook-endpoints/${id}`)
  t.match(body, { disabledReason: 'it has only failed for 5 days' })
})

t.test('one success among failures keeps an endpoint on', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  const { id } = await app.endpoint({ url: receiver.url })
  for (let day = 1; day <= 8; day += 1) {
    receiver.answer({ status: day === 4 ? 204 : 500 })
    await enqueueMany(app, 1, day)
    await app.deliver()
    app.clock.aheadMs += DAY_MS
  }
  t.match((await app.call('GET', `/v1/webhook-endpoints/${id}`)).body, { enabled: true })
})

t.test('Retry-After of 429 and 503 holds for all that the endpoint is to get', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  await app.endpoint({ url: receiver.url })
  receiver.answer({ status: 429, headers: { 'retry-after': '1200' } })
  await enqueueMany(app, 1)
  await app.deliver()
  receiver.answer({ status: 204 })
  await enqueueMany(app, 1, 2)
  app.clock.aheadMs += 19 * MINUTE_MS
  await app.deliver()
  t.equal(receiver.received.length, 1)
  app.clock.aheadMs += 2 * MINUTE_MS
  await app.deliver()
  t.equal(receiver.received.length, 3)
  receiver.answer({ status: 500, headers: { 'retry-after': '1200' } })
  await enqueueMany(app, 1, 3)
  await app.deliver()
  app.clock.aheadMs += 10_000
  await app.deliver()
  t.equal(receiver.received.length, 5, 'of no other status')
})

t.test('the pauses between attempts have their bounds', async (t) => {
  t.equal(pauseAfter(1, null, 0), 4_500)
  t.equal(pauseAfter(1, null, 0.5), 5_000)
  t.equal(pauseAfter(9, null, 0.5), 24 * HOUR_MS)
  t.equal(pauseAfter(10, null, 0.5), null)
  t.equal(pauseAfter(1, 60_000, 0.5), 60_000, 'never before the receiver wants it')
  t.equal(pauseAfter(2, 1_000, 0.5), 5 * MINUTE_MS, 'and never sooner because of it')
  t.equal(pauseAfter(1, 400 * DAY_MS, 0.5), DAY_MS)
  t.equal(retryAfterOf('120', 0), 120_000)
  t.equal(retryAfterOf('Thu, 01 Jan 1970 00:01:00 GMT', 20_000), 40_000)
  t.equal(retryAfterOf('Thu, 01 Jan 1970 00:01:00 GMT', 90_000), 0)
  for (const odd of [undefined, '', '-1', '1e9', '99999999999', 'soon']) {
    const ms = retryAfterOf(odd, 0)
    t.ok(ms === null || ms >= 0, String(odd))
  }
})

t.test('what is still to be sent is kept beyond its time, what was given up is not', async (t) => {
  const app = await openEvents(t, { environment: { EVENT_RETENTION_DAYS: '1' } })
  const receiver = await openReceiver(t)
  const { id } = await app.endpoint({ url: receiver.url })
  receiver.answer({ status: 500 })
  await enqueueMany(app, 3)
  await app.deliver()
  app.clock.aheadMs += 2 * DAY_MS
  t.equal(await app.runJob('events.prune'), '0 old events deleted')
  for (const pauseMs of PAUSES_MS) {
    app.clock.aheadMs += pauseMs * 1.1
    await app.deliver()
  }
  t.equal((await waiting(app, id, '?status=failed')).length, 3)
  t.equal(await app.runJob('events.prune'), '3 old events deleted')
  t.same(await waiting(app, id), [])
})

t.test('the metrics tell what is still to be sent', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  await app.endpoint({ url: receiver.url })
  receiver.answer({ status: 500 })
  await enqueueMany(app, 4)
  await app.deliver()
  app.clock.aheadMs = MINUTE_MS
  const { body } = await app.call('GET', '/metrics')
  t.match(body, /^creditd_events_undelivered 4$/m)
  const age = /^creditd_events_undelivered_oldest_seconds (\S+)$/m.exec(body)?.[1]
  t.ok(Number(age) >= 60 && Number(age) < 120, String(age))
})
