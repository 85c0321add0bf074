import t from 'tap'
import { expectStatus, isSigned, openEvents, openReceiver } from './kit.js'

const TEN = { environment: { LOW_BALANCE_CREDITS: '10' } }

t.test('a balance that falls below the threshold is told of, once for each fall', async (t) => {
  const app = await openEvents(t, TEN)
  const receiver = await openReceiver(t)
  const { secret } = await app.endpoint({ url: receiver.url })
  const charges = '/v1/accounts/ada/charges'
  const charge = async (amount: number, idempotencyKey?: string) =>
    app.call('POST', charges, { amount }, idempotencyKey === undefined ? {} : { idempotencyKey })
  await app.open('ada', 30)
  await charge(20)
  await app.deliver()
  t.equal(receiver.received.length, 0, '10 is not below 10')
  expectStatus(201, await charge(3, 'one'))
  expectStatus(201, await charge(3, 'one'))
  await charge(1)
  t.equal((await charge(500)).status, 402)
  await app.deliver()
  t.match(receiver.received, [{ body: { type: 'balance.low', accountId: 'ada', accountSeq: 1 } }])
  t.match(receiver.received[0]?.body.data, { available: 7, balance: 7, threshold: 10 })
  expectStatus(201, await app.call('POST', '/v1/accounts/ada/grants', { amount: 10 }))
  // what is reserved is not available
  const hold = { amount: 8, ttlSeconds: 60 }
  expectStatus(201, await app.call('POST', '/v1/accounts/ada/holds', hold))
  await app.deliver()
  t.match(receiver.received[1]?.body, { type: 'balance.low', accountSeq: 2 })
  t.match(receiver.received[1]?.body.data, { available: 8, balance: 16 })
  t.ok(receiver.received.every((one) => isSigned(secret, one)))
  t.same((await app.call('GET', '/v1/reconcile')).body.mismatches, [])
})

t.test('debt is told of when it rises', async (t) => {
  const app = await openEvents(t, TEN)
  await app.open('ada', 20)
  const { body } = await app.call('GET', '/v1/accounts/ada/grants')
  expectStatus(201, await app.call('POST', '/v1/accounts/ada/charges', { amount: 15 }))
  const { grantId } = body.grants[0]
  const [, seq] =
    Buffer.from(grantId.slice(3), 'base64url')
      .toString()
      .match(/^(\d+):/) ?? []
  await app.core.ledger.submit({
    accountId: 'ada',
    key: app.core.newId(),
    digest: app.core.newId(),
    actor: 'system',
    requestId: null,
    metadata: null,
    kind: 'claw_back',
    grantSeq: Number(seq),
    target: 20,
    reason: 'refunded',
    detail: {},
  })
  await app.runJob('events.relay')
  const events = await app.feed()
  t.match(
    events.map(({ type }) => type),
    ['balance.low', 'account.in_debt'],
  )
  t.match(events[1]?.data, { debt: 15, balance: 0 })
  t.same((await app.call('GET', '/v1/reconcile')).body.mismatches, [])
})

t.test('what is bought is told to the feed and to receivers', async (t) => {
  const app = await openEvents(t, { environment: { ENABLE_CREDIT_PURCHASES: 'true' } })
  const receiver = await openReceiver(t)
  await app.endpoint({ url: receiver.url, types: ['purchase.completed', 'purchase.refunded'] })
  await app.open('ada')
  const order = { accountId: 'ada', packageId: 'pkg_starter', provider: 'manual' }
  const { body } = expectStatus(201, await app.call('POST', '/v1/purchases', order))
  const path = `/v1/purchases/${body.purchaseId}`
  expectStatus(200, await app.call('POST', `${path}/confirm`, {}))
  expectStatus(200, await app.call('POST', `${path}/confirm`, {}))
  expectStatus(200, await app.call('POST', `${path}/refund`, {}))
  await app.deliver()
  const events = await app.feed('&accountId=ada')
  const told = events.filter(({ type }) => type.startsWith('purchase.'))
  t.match(told, [
    { type: 'purchase.completed', data: { purchaseId: body.purchaseId, credits: 100 } },
    { type: 'purchase.refunded', data: { purchaseId: body.purchaseId, creditsClawedBack: 100 } },
  ])
  const sent = receiver.received.map((one) => one.body.id).sort()
  t.same(sent, told.map(({ id }) => id).sort())
  t.same((await app.call('GET', '/v1/reconcile')).body.mismatches, [])
})
