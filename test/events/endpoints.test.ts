import t from 'tap'
import { dumpOf } from '../sessions/kit.js'
import {
  DAY_MS,
  enqueue,
  enqueueMany,
  expectStatus,
  HOUR_MS,
  isSigned,
  MINUTE_MS,
  openEvents,
  openReceiver,
} from './kit.js'

const PATH = '/v1/webhook-endpoints'
const PUBLIC = { environment: { WEBHOOKS_ALLOW_PRIVATE: 'false' } }

t.test('a secret is shown once, to the call that made it', async (t) => {
  const app = await openEvents(t, PUBLIC)
  const { call } = app
  const body = { url: 'https://example.com/hooks', types: ['balance.low'], description: 'mails' }
  const made = await call('POST', PATH, body, { idempotencyKey: 'make-1' })
  t.match(made, { status: 201, body: { ...body, enabled: true, secret: /^whsec_[\w+/]{43}=$/ } })
  const { secret, ...shown } = made.body
  t.match(await call('POST', PATH, body, { idempotencyKey: 'make-1' }), {
    status: 409,
    body: { code: 'secret_not_replayed' },
  })
  t.same((await call('GET', PATH)).body, { webhookEndpoints: [shown], nextCursor: null })
  t.same((await call('GET', `${PATH}/${made.body.id}`)).body, shown)
  const holders = (await dumpOf(app)).split('\n').filter((row) => row.includes(secret))
  t.match(holders, [/^webhook_endpoints: /], 'in the table that signs, and nowhere else')
})

t.test('an endpoint that is deleted is gone and is sent nothing', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  receiver.answer({ status: 500 })
  const { id, secret: _secret, ...made } = await app.endpoint({ url: receiver.url })
  await enqueueMany(app, 3)
  await app.deliver()
  const gone = await app.call('DELETE', `${PATH}/${id}`, {}, { idempotencyKey: 'delete-1' })
  t.match(gone, { status: 200, body: { id, url: made.url } })
  const again = await app.call('DELETE', `${PATH}/${id}`, {}, { idempotencyKey: 'delete-1' })
  t.match(again, { status: 200, headers: { 'idempotent-replayed': 'true' }, body: gone.body })
  app.clock.aheadMs += HOUR_MS
  await enqueueMany(app, 1, 4)
  await app.deliver()
  t.equal(receiver.received.length, 3)
  const notFound = { status: 404, body: { code: 'webhook_endpoint_not_found' } }
  const calls = [
    ['GET', ''],
    ['GET', '/deliveries'],
    ['DELETE', ''],
    ['POST', '/rotate'],
    ['POST', '/enable'],
  ] as const
  for (const [method, rest] of calls) {
    t.match(await app.call(method, `${PATH}/${id}${rest}`), notFound, `${method} ${rest}`)
  }
  t.same((await app.call('GET', PATH)).body.webhookEndpoints, [])
  await app.runJob('events.prune')
  const { rows } = await app.core.db.pool.query(`
    select (select count(*) from webhook_endpoints) as endpoints,
           (select count(*) from event_deliveries) as deliveries`)
  t.same(rows, [{ endpoints: 0, deliveries: 0 }], 'nothing of it is left')
})

t.test('there are at most 20, also when two are made at once', async (t) => {
  const app = await openEvents(t, PUBLIC)
  const make = () => app.call('POST', PATH, { url: 'https://example.com/hooks' })
  for (let count = 0; count < 18; count += 1) expectStatus(201, await make())
  const statuses = (await Promise.all([make(), make(), make(), make()])).map(({ status }) => status)
  t.same(statuses.sort(), [201, 201, 422, 422])
  const { body } = await app.call('GET', PATH)
  t.equal(body.webhookEndpoints.length, 20)
  t.match(await make(), { status: 422, body: { code: 'limit_exceeded', limit: 20 } })
  await app.call('DELETE', `${PATH}/${body.webhookEndpoints[0].id}`)
  t.equal((await make()).status, 201)
})

t.test('while a secret is rotated both sign; after a day the new one alone', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  const { id, secret: first } = await app.endpoint({ url: receiver.url })
  const rotated = await app.call('POST', `${PATH}/${id}/rotate`, {}, { idempotencyKey: 'r-1' })
  const second = rotated.body.secret
  t.match(rotated, { status: 200, body: { secret: /^whsec_/, previousSecretEndsAt: String } })
  t.not(second, first)
  t.match(await app.call('POST', `${PATH}/${id}/rotate`, {}, { idempotencyKey: 'r-1' }), {
    status: 409,
    body: { code: 'secret_not_replayed' },
  })
  await enqueueMany(app, 1)
  await app.deliver()
  const [both] = receiver.received
  if (!both) throw new Error('nothing came')
  t.ok(isSigned(first, both) && isSigned(second, both))
  t.match(both.headers['webhook-signature'], /^v1,\S+ v1,\S+$/)
  app.clock.aheadMs += DAY_MS + MINUTE_MS
  await enqueueMany(app, 1, 2)
  await app.deliver()
  t.match(receiver.received.at(-1)?.headers, { 'webhook-signature': /^v1,\S+$/ })
  app.clock.aheadMs = 0
  const third = (await app.call('POST', `${PATH}/${id}/rotate`)).body.secret
  await enqueueMany(app, 1, 3)
  await app.deliver()
  const last = receiver.received.at(-1)
  if (!last) throw new Error('nothing came')
  t.ok(isSigned(second, last) && isSigned(third, last))
  t.notOk(isSigned(first, last), 'a secret before the last one signs no more')
})

const REFUSED: readonly (readonly [url: string, why: RegExp])[] = [
  ['http://example.com/', /https/],
  ['ftp://example.com/', /https/],
  ['example.com/hooks', /URL/],
  ['https://', /URL/],
  ['https://user@example.com/', /user/],
  ['https://user:secret@example.com/', /password/],
  ['https://example.com/#part', /fragment/],
  ['https://example.com/#', /fragment/],
  [`https://example.com/${'ü'.repeat(400)}`, /2048/],
  ['https://localhost/', /private/],
  ['https://LOCALHOST./', /private/],
  ['https://a.localhost/', /private/],
  ['https://127.0.0.1/', /private/],
  ['https://127.1/', /private/],
  ['https://2130706433/', /private/],
  ['https://0x7f.0.0.1/', /private/],
  ['https://0/', /private/],
  ['https://10.1.2.3/', /private/],
  ['https://172.16.0.1/', /private/],
  ['https://192.168.1.1/', /private/],
  ['https://169.254.169.254/latest/meta-data', /private/],
  ['https://100.64.0.1/', /private/],
  ['https://192.0.2.1/', /private/],
  ['https://198.18.0.1/', /private/],
  ['https://224.0.0.1/', /private/],
  ['https://240.0.0.1/', /private/],
  ['https://255.255.255.255/', /private/],
  ['https://[::]/', /private/],
  ['https://[::1]/', /private/],
  ['https://[::127.0.0.1]/', /private/],
  ['https://[::ffff:10.0.0.1]/', /private/],
  ['https://[::ffff:8.8.8.8]/', /private/],
  ['https://[64:ff9b::10.0.0.1]/', /private/],
  ['https://[64:ff9b:1::1]/', /private/],
  ['https://[2002:a00:1::]/', /private/],
  ['https://[2001:0:1::1]/', /private/],
  ['https://[fc00::1]/', /private/],
  ['https://[fe80::1]/', /private/],
  ['https://[fec0::1]/', /private/],
  ['https://[ff02::1]/', /private/],
  ['https://[2001:db8::1]/', /private/],
]

t.test('what nothing may be sent to is refused, and why', async (t) => {
  const { call } = await openEvents(t, PUBLIC)
  for (const [url, why] of REFUSED) {
    const reply = await call('POST', PATH, { url })
    t.match(reply, { status: 400, body: { errors: [{ path: 'url', message: why }] } }, url)
  }
  const odd = [{}, { url: 7 }, { url: '' }, { url: `https://a.example/${'x'.repeat(2_048)}` }]
  const types = [[], ['x'], 'balance.low', [null]].map((value) => ({ types: value }))
  const rest = [{ description: '' }, { description: 'x'.repeat(201) }, { enabled: false }]
  for (const body of [
    ...odd,
    ...[...types, ...rest].map((one) => ({ url: 'https://a.example/', ...one })),
  ]) {
    t.equal((await call('POST', PATH, body)).status, 400, JSON.stringify(body).slice(0, 80))
  }
  t.same((await call('GET', PATH)).body.webhookEndpoints, [])
  for (const url of [
    'https://8.8.8.8:8443/a?b=c',
    'https://[2606:4700::1111]/',
    'https://a.example/',
  ]) {
    t.match(await call('POST', PATH, { url }), { status: 201, body: { url } }, url)
  }
})

t.test('what an endpoint has not taken is listed page by page', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  receiver.answer({ status: 503 })
  const { id } = await app.endpoint({ url: receiver.url, types: ['balance.low'] })
  const events = Array.from({ length: 5 }, (_, n) => ({ id: `${n + 1}:x`, type: 'balance.low' }))
  await enqueue(app, ...events)
  await app.deliver()
  const page = async (query: string) =>
    (await app.call('GET', `${PATH}/${id}/deliveries${query}`)).body
  const first = await page('?limit=3')
  const second = await page(`?limit=3&cursor=${first.nextCursor}`)
  t.same(
    [...first.deliveries, ...second.deliveries].map(({ position }) => position),
    [5, 4, 3, 2, 1],
  )
  t.equal(second.nextCursor, null)
  const [event] = await app.feed('', 4)
  const seen = { eventId: event?.id, attempts: 1, lastStatus: 503, lastError: 'it answered 503' }
  t.match(first.deliveries[0], {
    ...seen,
    type: 'balance.low',
    accountId: 'ada',
    status: 'pending',
  })
  t.same((await page('?status=failed')).deliveries, [])
  t.equal((await app.call('GET', `${PATH}/${id}/deliveries?status=x`)).status, 400)
  t.equal((await app.call('GET', `${PATH}/${id}/deliveries?cursor=x`)).status, 400)
})

t.test('acts on endpoints stand in the audit log', async (t) => {
  const { call } = await openEvents(t, PUBLIC)
  const { body } = await call('POST', PATH, { url: 'https://example.com/' })
  await call('POST', `${PATH}/${body.id}/rotate`)
  await call('POST', `${PATH}/${body.id}/enable`)
  await call('DELETE', `${PATH}/${body.id}`)
  const log = await call('GET', '/v1/audit-log')
  const acts = log.body.entries.map(({ action }: { action: string }) => action)
  t.same(
    acts.sort(),
    ['create', 'delete', 'enable', 'rotate'].map((act) => `webhook_endpoint_${act}`),
  )
  t.notOk(JSON.stringify(log.body).includes(body.secret))
})
