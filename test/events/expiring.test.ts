import t from 'tap'
import { createExpiring } from '../../src/events/expiring.js'
import { DAY_MS, type EventApp, expectStatus, HOUR_MS, openEvents } from './kit.js'

const grant = async ({ call }: EventApp, accountId: string, inMs: number | null, amount = 5) => {
  const expiresAt = inMs === null ? null : new Date(Date.now() + inMs).toISOString()
  const path = `/v1/accounts/${accountId}/grants`
  const { body } = expectStatus(201, await call('POST', path, { amount, expiresAt }))
  return body.grantId as string
}

const told = async (app: EventApp) => {
  await app.runJob('events.relay')
  return app.feed('&type=grant.expiring')
}

t.test('a lot that will expire within three days is told of, once', async (t) => {
  const app = await openEvents(t)
  await app.open('ada')
  const soon = await grant(app, 'ada', 10 * DAY_MS)
  await grant(app, 'ada', 20 * DAY_MS)
  await grant(app, 'ada', null)
  t.equal(await app.runJob('events.expiring'), '0 lots that expire soon')
  app.clock.aheadMs = 7 * DAY_MS + HOUR_MS
  t.equal(await app.runJob('events.expiring'), '1 lots that expire soon')
  t.equal(await app.runJob('events.expiring'), '0 lots that expire soon')
  const events = await told(app)
  t.match(events, [{ accountId: 'ada', data: { grantId: soon, remaining: 5, expiresAt: String } }])
  const ends = Date.parse(events[0]?.data.expiresAt) - app.core.now()
  t.ok(ends > 2 * DAY_MS && ends < 3 * DAY_MS)
  app.clock.aheadMs = 10 * DAY_MS + HOUR_MS
  t.equal(await app.runJob('events.expiring'), '0 lots that expire soon', 'nor when it has')
})

t.test('it is told once also when the event is no longer kept', async (t) => {
  const app = await openEvents(t, { environment: { EVENT_RETENTION_DAYS: '1' } })
  await app.open('ada')
  await grant(app, 'ada', 10 * DAY_MS)
  app.clock.aheadMs = 7 * DAY_MS + HOUR_MS
  await app.runJob('events.expiring')
  t.equal((await told(app)).length, 1)
  app.clock.aheadMs += 1.5 * DAY_MS
  t.equal(await app.runJob('events.prune'), '1 old events deleted')
  t.equal(await app.runJob('events.expiring'), '0 lots that expire soon')
  app.clock.aheadMs += 4 * DAY_MS
  await app.runJob('events.expiring')
  const { rows } = await app.core.db.pool.query('select count(*) as count from expiry_notices')
  t.same(rows, [{ count: 0 }], 'after its end nothing is remembered of it')
})

t.test('what is spent, revoked, short-lived or of a closed account is not told of', async (t) => {
  const app = await openEvents(t)
  for (const accountId of ['spent', 'revoked', 'short', 'closed', 'held']) await app.open(accountId)
  await grant(app, 'spent', 10 * DAY_MS)
  expectStatus(201, await app.call('POST', '/v1/accounts/spent/charges', { amount: 5 }))
  const revoked = await grant(app, 'revoked', 10 * DAY_MS)
  await app.call('DELETE', `/v1/accounts/revoked/grants/${revoked}`)
  await grant(app, 'short', 2.9 * DAY_MS)
  await grant(app, 'closed', 10 * DAY_MS)
  expectStatus(200, await app.call('DELETE', '/v1/accounts/closed'))
  await grant(app, 'held', 10 * DAY_MS)
  const hold = { amount: 5, ttlSeconds: 86_400 }
  expectStatus(201, await app.call('POST', '/v1/accounts/held/holds', hold))
  t.equal(await app.runJob('events.expiring'), '0 lots that expire soon')
  app.clock.aheadMs = 7 * DAY_MS + HOUR_MS
  await app.runJob('events.expiring')
  t.match(await told(app), [{ accountId: 'held' }], 'held credits expire when they come free')
})

t.test('a great many are told of page by page, by two at once, each once', async (t) => {
  const app = await openEvents(t)
  const expiresAt = new Date(Date.now() + 10 * DAY_MS).toISOString()
  for (let n = 0; n < 40; n += 1) await app.open(`account-${n}`)
  const operations = Array.from({ length: 120 }, (_, n) => ({
    ...{ type: 'grant', accountId: `account-${n % 40}`, amount: 3, expiresAt },
  }))
  expectStatus(200, await app.call('POST', '/v1/operations', { operations }))
  app.clock.aheadMs = 8 * DAY_MS
  const tell = createExpiring({ db: app.core.db, now: app.core.now, page: 7 })
  const counts = await Promise.all([tell(), tell(), tell()])
  t.equal(
    counts.reduce((sum, count) => sum + count, 0),
    120,
  )
  const events = await told(app)
  t.equal(new Set(events.map(({ data }) => data.grantId)).size, 120)
})
