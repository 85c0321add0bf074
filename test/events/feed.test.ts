import t from 'tap'
import { createFeed } from '../../src/events/feed.js'
import { createRelay } from '../../src/events/relay.js'
import { ADMIN_KEY } from '../helpers/app.js'
import { DAY_MS, enqueue, enqueueMany, expectStatus, openEvents } from './kit.js'

t.test('an event has its place once it is relayed, each of an account its number', async (t) => {
  const app = await openEvents(t)
  await enqueueMany(app, 3)
  await enqueueMany(app, 2, 1, 'bob')
  t.same(await app.feed(), [], 'not before')
  t.equal(await app.runJob('events.relay'), '5 events placed')
  const events = await app.feed()
  t.same(
    events.map(({ position, accountId, accountSeq, data }) => [
      ...[position, accountId, accountSeq, data.n],
    ]),
    [
      [1, 'ada', 1, 1],
      [2, 'ada', 2, 2],
      [3, 'ada', 3, 3],
      [4, 'bob', 1, 1],
      [5, 'bob', 2, 2],
    ],
  )
  t.equal(new Set(events.map(({ id }) => id)).size, 5, 'ids differ over accounts')
  t.equal(await app.runJob('events.relay'), '0 events placed')
  await enqueueMany(app, 1, 4)
  await app.runJob('events.relay')
  t.match((await app.feed('', 5))[0], { position: 6, accountId: 'ada', accountSeq: 4 })
})

t.test('events of one millisecond stand in the order of their ledger rows', async (t) => {
  const app = await openEvents(t)
  const createdAtMs = Math.floor(app.core.now())
  const ids = ['10:b', '9:z', 'purchase:x', '10:a', '101:a', '11:a']
  await enqueue(app, ...ids.map((id) => ({ id, createdAtMs, data: { id } })))
  // the page ends between two of them
  const relay = createRelay({ db: app.core.db, now: app.core.now, page: 2 })
  t.equal(await relay(), 6)
  const events = await app.feed()
  t.same(
    events.map(({ data }) => data.id),
    ['9:z', '10:a', '10:b', '11:a', '101:a', 'purchase:x'],
  )
  t.same(
    events.map(({ accountSeq }) => accountSeq),
    [1, 2, 3, 4, 5, 6],
  )
})

t.test('a reader goes on where it was, and past the end', async (t) => {
  const app = await openEvents(t)
  const read = async (query: string) => (await app.call('GET', `/v1/events${query}`)).body
  t.same(await read(''), { events: [], nextCursor: '0', hasMore: false })
  await enqueueMany(app, 7)
  await app.runJob('events.relay')
  const first = await read('?limit=3')
  t.match(first, { nextCursor: '3', hasMore: true })
  const second = await read(`?limit=4&after=${first.nextCursor}`)
  t.match(second, { events: { length: 4 }, nextCursor: '7', hasMore: false })
  t.same(await read('?after=7'), { events: [], nextCursor: '7', hasMore: false })
  t.same(await read('?after=5000'), { events: [], nextCursor: '7', hasMore: false })
  await enqueueMany(app, 1, 8)
  await app.runJob('events.relay')
  t.match(await read('?after=7'), { events: [{ position: 8 }], nextCursor: '8' })
})

t.test('a filtered feed skips nothing and looks at no more than its share at once', async (t) => {
  const app = await openEvents(t)
  await enqueueMany(app, 30)
  await enqueueMany(app, 4, 1, 'bob')
  await enqueue(app, { id: '99:low', type: 'balance.low', accountId: 'bob' })
  await app.runJob('events.relay')
  t.same(
    (await app.feed('&accountId=bob')).map(({ position }) => position),
    [31, 32, 33, 34, 35],
  )
  t.match(await app.feed('&type=balance.low'), { length: 1, 0: { position: 35 } })
  t.match(await app.feed('&type=balance.low&accountId=bob'), { length: 1 })
  t.same(await app.feed('&type=balance.low&accountId=ada'), [])
  const feed = createFeed({ db: app.core.db, maxScanned: 10 })
  const query = { limit: 5, type: 'balance.low' } as const
  t.match(await feed.list(query), { events: [], nextCursor: '10', hasMore: true })
  t.match(await feed.list({ ...query, after: 30 }), {
    events: [{ position: 35 }],
    nextCursor: '35',
    hasMore: false,
  })
  const rare = await app.call('GET', '/v1/events?accountId=ada&type=balance.low')
  t.match(rare.body, { events: [], nextCursor: '35' }, 'nothing behind it has to be read again')
})

t.test('what is too old goes, and who asks for it is told', async (t) => {
  const app = await openEvents(t, { environment: { EVENT_RETENTION_DAYS: '2' } })
  await enqueueMany(app, 5)
  await app.runJob('events.relay')
  t.equal(await app.runJob('events.prune'), '0 old events deleted')
  app.clock.aheadMs = 3 * DAY_MS
  await enqueueMany(app, 2, 6)
  await app.runJob('events.relay')
  t.equal(await app.runJob('events.prune'), '5 old events deleted')
  t.equal(await app.runJob('events.prune'), '0 old events deleted')
  const pruned = { status: 410, body: { code: 'events_pruned', after: 4, prunedThrough: 5 } }
  t.match(await app.call('GET', '/v1/events?after=4'), pruned)
  t.match(await app.call('GET', '/v1/events?after=0'), { status: 410 }, 'nor is 0 the beginning')
  const kept = await app.feed('', 5)
  t.match(kept, { length: 2, 0: { position: 6, accountSeq: 6 }, 1: { accountSeq: 7 } })
  t.same(await app.feed(), kept, 'without after, from the oldest that is kept')
})

t.test('what is not a place in the feed is refused', async (t) => {
  const { call } = await openEvents(t)
  for (const query of [
    'after=-1',
    'after=x',
    'after=1.5',
    'limit=0',
    'limit=201',
    'type=x',
    'a=1',
  ]) {
    t.match(await call('GET', `/v1/events?${query}`), { status: 400 }, query)
  }
  const big = await call('GET', '/v1/events?after=9007199254740991')
  t.match(big, { status: 200, body: { nextCursor: '0' } })
})

t.test('a reader skips nothing while eight writers commit in any order', async (t) => {
  const app = await openEvents(t)
  const other = await openEvents(t, { url: app.url })
  const { pool } = app.core.db
  const total = 8 * 40
  let written = 0
  const write = async (writer: number) => {
    for (let n = 1; n <= 40; n += 1) {
      const client = await pool.connect()
      await client.query('begin')
      await client.query(
        `insert into events (account_id, id, type, data, created_at)
         values ($1, $2, 'balance.low', $3, clock_timestamp())`,
        [`account-${writer}`, `${n}:balance.low`, { n }],
      )
      // others who began later commit before
      await client.query('select pg_sleep($1)', [Math.random() * 0.02])
      await client.query('commit')
      client.release()
      written += 1
    }
  }
  const relay = async (of: typeof app) => {
    while (written < total) {
      await Promise.all([of.runJob('events.relay'), other.runJob('events.relay')])
    }
    await of.runJob('events.relay')
  }
  const seen: { position: number; accountId: string; accountSeq: number; n: number }[] = []
  const read = async () => {
    let after = 0
    while (seen.length < total) {
      const { body } = expectStatus(200, await app.call('GET', `/v1/events?after=${after}&limit=7`))
      for (const { position, accountId, accountSeq, data } of body.events) {
        seen.push({ position, accountId, accountSeq, n: data.n })
      }
      after = Number(body.nextCursor)
    }
  }
  const writers = Array.from({ length: 8 }, (_, index) => write(index))
  await Promise.all([...writers, relay(app), read()])
  t.same(
    seen.map(({ position }) => position),
    Array.from({ length: total }, (_, index) => index + 1),
    'each once, in order, without a gap',
  )
  for (let writer = 0; writer < 8; writer += 1) {
    const own = seen.filter(({ accountId }) => accountId === `account-${writer}`)
    t.same(
      own.map(({ accountSeq, n }) => [accountSeq, n]),
      Array.from({ length: 40 }, (_, index) => [index + 1, index + 1]),
    )
  }
})

t.test('of many relays at once one places each page, without gap or repeat', async (t) => {
  const app = await openEvents(t)
  const other = await openEvents(t, { url: app.url })
  await enqueueMany(app, 500)
  await enqueueMany(app, 500, 1, 'bob')
  const relays = [app, other, app, other].map(({ core }) =>
    createRelay({ db: core.db, now: core.now, page: 50 }),
  )
  let placed = 0
  while (placed < 1_000) {
    const counts = await Promise.all(relays.map((relay) => relay()))
    placed += counts.reduce((sum, count) => sum + count, 0)
  }
  const events = await app.feed()
  t.equal(placed, 1_000)
  t.same(
    events.map(({ position }) => position),
    Array.from({ length: 1_000 }, (_, index) => index + 1),
  )
  for (const accountId of ['ada', 'bob']) {
    const own = events.filter((event) => event.accountId === accountId)
    t.ok(
      own.every(({ accountSeq, data }, index) => accountSeq === index + 1 && data.n === accountSeq),
    )
  }
})

t.test('what was committed before a crash is told by another instance', async (t) => {
  const app = await openEvents(t, { environment: { LOW_BALANCE_CREDITS: '10' } })
  await app.open('ada', 12)
  await app.call('POST', '/v1/accounts/ada/charges', { amount: 5 })
  // this one never relays again
  await app.close()
  const next = await openEvents(t, { url: app.url })
  await next.runJob('events.relay')
  t.match(await next.feed(), { length: 1, 0: { type: 'balance.low', accountSeq: 1 } })
})

t.test('the metrics tell how long an event waits for its place', async (t) => {
  const app = await openEvents(t)
  const figure = async () => {
    const { body } = await app.call('GET', '/metrics', undefined, { key: ADMIN_KEY })
    return Number(/^creditd_events_unplaced_oldest_seconds (\S+)$/m.exec(body)?.[1])
  }
  t.equal(await figure(), 0)
  await enqueueMany(app, 1)
  app.clock.aheadMs = 90_000
  t.ok((await figure()) >= 90)
  await app.runJob('events.relay')
  t.equal(await figure(), 0)
})
