import t from 'tap'
import { migrateDown, migrateUp, migrationStatus } from '../../src/db/migrate.js'
import { openDatabase } from '../../src/db/open.js'
import { quietLog } from '../helpers/database.js'
import { enqueueMany, expectStatus, openEvents, openReceiver } from './kit.js'

t.test('by themselves the jobs tell of a charge within seconds', async (t) => {
  const app = await openEvents(t, { environment: { LOW_BALANCE_CREDITS: '10' } })
  const receiver = await openReceiver(t)
  await app.endpoint({ url: receiver.url })
  await app.core.jobs.start()
  await app.open('ada', 12)
  const startedMs = performance.now()
  expectStatus(201, await app.call('POST', '/v1/accounts/ada/charges', { amount: 5 }))
  await receiver.waitFor(1)
  t.comment(`after ${Math.round(performance.now() - startedMs)} ms`)
  t.match(receiver.received[0]?.body, { type: 'balance.low', position: 1, accountSeq: 1 })
})

t.test('a service that is told to stop breaks off what it was sending', async (t) => {
  const app = await openEvents(t)
  const receiver = await openReceiver(t)
  receiver.answer('hang')
  await app.endpoint({ url: receiver.url })
  await enqueueMany(app, 3)
  await app.core.jobs.start()
  await receiver.waitFor(3)
  const startedMs = performance.now()
  await app.close()
  t.ok(performance.now() - startedMs < 4_000, 'long before they would have timed out')
  receiver.answer({ status: 204 })
  const next = await openEvents(t, { url: app.url })
  await next.deliver()
  t.equal(receiver.received.length, 6, 'and another one goes on at once')
})

t.test('taken back and applied again, the feed goes on where it was', async (t) => {
  const app = await openEvents(t)
  await enqueueMany(app, 5)
  await enqueueMany(app, 2, 1, 'bob')
  await app.runJob('events.relay')
  await app.close()
  const db = await openDatabase({ url: app.url, log: quietLog })
  t.teardown(() => db.close())
  const all = await migrationStatus(db)
  const steps = all.length - all.findIndex(({ tag }) => tag === '0028_events_out')
  await migrateDown(db, { steps })
  await migrateUp(db)
  const next = await openEvents(t, { url: app.url })
  await enqueueMany(next, 1, 6)
  await next.runJob('events.relay')
  const events = await next.feed()
  t.equal(events.length, 8)
  t.match(events.at(-1), { position: 8, accountId: 'ada', accountSeq: 6 })
})
