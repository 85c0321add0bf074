import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Catalogue, createCatalogue } from '../../src/credits/prices/catalogue.js'
import type { PriceTerms } from '../../src/credits/prices/price-list.js'
import { CATALOGUE_LEASE_MS, RENEW_AFTER_MS } from '../../src/credits/prices/snapshot.js'
import { createPriceStore, type PriceStore } from '../../src/credits/prices/store.js'
import type { Database } from '../../src/db/open.js'
import { AppError } from '../../src/errors.js'
import { openFresh } from '../helpers/database.js'

const fixed = (cost: number, more: Partial<PriceTerms> = {}): PriceTerms => ({
  cost,
  tierCosts: null,
  formula: null,
  minimum: null,
  requiredTier: null,
  description: null,
  ...more,
})
const byFormula = (formula: string): PriceTerms => ({ ...fixed(0), cost: null, formula })

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error) => {
      if (error instanceof AppError) return error.code
      throw error
    },
  )

const amountOf = async (catalogue: Catalogue, action = 'image'): Promise<number> =>
  (await catalogue.quoteFor({ action, quantity: 1, variables: {} }))(null).amount

/** A catalogue whose clock the test moves; writes do not wait. */
function withClock(db: Database) {
  const clock = { ms: 1_000 }
  const store = createPriceStore(db)
  const seen = { loads: 0 }
  const counted: PriceStore = {
    ...store,
    load(known, onAttempt) {
      seen.loads += 1
      return store.load(known, onAttempt)
    },
  }
  const catalogue = createCatalogue({
    store: counted,
    now: () => clock.ms,
    sleep: async () => {},
  })
  return { catalogue, clock, seen, store }
}

const inTime = (db: Database): Catalogue =>
  createCatalogue({ store: createPriceStore(db), now: () => performance.now(), sleep })

t.test('when a write is answered, every instance prices by it', async (t) => {
  const db = await openFresh(t)
  const [one, other] = [inTime(db), inTime(db)]
  await one.putPrice('image', fixed(1))
  let isDone = false
  // Keeps the lists of both in use, so that they are always as old as they may be.
  const reader = (async () => {
    while (!isDone) {
      await Promise.all([amountOf(one), amountOf(other)])
      await sleep(3)
    }
  })()
  for (let cost = 2; cost <= 9; cost += 1) {
    await (cost % 2 === 0 ? one : other).putPrice('image', fixed(cost))
    t.same(await Promise.all([amountOf(one), amountOf(other)]), [cost, cost])
  }
  isDone = true
  await reader
  await one.deletePrice('image')
  t.equal(await codeOf(amountOf(other)), 'action_not_found')
  await one.putTiers([{ id: 'only', level: 7 }])
  t.same(await other.listTiers(), [{ id: 'only', level: 7 }])
})

t.test('within its lease a list is used without asking, then renewed', async (t) => {
  const { catalogue, clock, seen } = withClock(await openFresh(t))
  await catalogue.putPrice('image', fixed(5))
  await Promise.all(Array.from({ length: 100 }, () => amountOf(catalogue)))
  t.equal(seen.loads, 1, 'many at once ask once')
  clock.ms += RENEW_AFTER_MS - 1
  t.equal(await amountOf(catalogue), 5)
  t.equal(seen.loads, 1)
  clock.ms += 1
  t.equal(await amountOf(catalogue), 5)
  t.equal(seen.loads, 2, 'renewed beside the request')
  clock.ms += CATALOGUE_LEASE_MS
  t.equal(await amountOf(catalogue), 5)
  t.equal(seen.loads, 3, 'waited for')
})

t.test('a change made by hand is seen within a lease', async (t) => {
  const db = await openFresh(t)
  const { catalogue, clock } = withClock(db)
  await catalogue.putPrice('image', fixed(5))
  t.equal(await amountOf(catalogue), 5)
  await db.pool.query(`update prices set cost = 6`)
  t.equal(await amountOf(catalogue), 5, 'the lease runs')
  clock.ms += CATALOGUE_LEASE_MS
  t.equal(await amountOf(catalogue), 6)
})

t.test('a loading that began before a write serves nobody who came after it', async (t) => {
  const db = await openFresh(t)
  const store = createPriceStore(db)
  await store.put('image', fixed(1))
  const clock = { ms: 0 }
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  let loads = 0
  const slow: PriceStore = {
    ...store,
    async load(known, onAttempt) {
      loads += 1
      const loaded = await store.load(known, onAttempt)
      if (loads === 1) await gate
      return loaded
    },
  }
  const catalogue = createCatalogue({ store: slow, now: () => clock.ms, sleep: async () => {} })
  const early = amountOf(catalogue)
  while (loads === 0) await sleep(1)
  await sleep(20)
  await store.put('image', fixed(2))
  clock.ms += CATALOGUE_LEASE_MS
  const late = amountOf(catalogue)
  open()
  t.equal(await early, 1)
  t.equal(await late, 2)
})

t.test('without the database there are no prices, and they return by themselves', async (t) => {
  const db = await openFresh(t)
  const { catalogue, clock } = withClock(db)
  await catalogue.putPrice('image', fixed(5))
  t.equal(await amountOf(catalogue), 5)
  await db.pool.query('alter table prices rename to elsewhere')
  t.equal(await amountOf(catalogue), 5, 'the lease runs')
  clock.ms += CATALOGUE_LEASE_MS - 1
  t.equal(await amountOf(catalogue), 5, 'a failed renewal hurts nobody yet')
  clock.ms += 1
  await t.rejects(amountOf(catalogue))
  await db.pool.query('alter table elsewhere rename to prices')
  t.equal(await amountOf(catalogue), 5)
})

t.test('a price is kept as it was set', async (t) => {
  const db = await openFresh(t)
  const { catalogue, clock } = withClock(db)
  const terms = {
    cost: Number.MAX_SAFE_INTEGER,
    tierCosts: { pro: 0, basic: Number.MAX_SAFE_INTEGER },
    formula: null,
    minimum: 3,
    requiredTier: 'basic',
    description: 'Ein Bild, 1024 × 1024 "groß" \\ \u{1F5BC}',
  }
  const put = await catalogue.putPrice('image', terms)
  t.match(put, { action: 'image', ...terms })
  t.equal(put.createdAtMs, put.updatedAtMs)
  t.same(await catalogue.getPrice('image'), put)
  clock.ms += CATALOGUE_LEASE_MS
  const again = await catalogue.putPrice('image', byFormula('tokens * 2'))
  t.equal(again.createdAtMs, put.createdAtMs)
  t.ok(again.updatedAtMs >= put.updatedAtMs)
  t.match(again, { cost: null, tierCosts: null, minimum: null, requiredTier: null })
  clock.ms += CATALOGUE_LEASE_MS
  t.same(await catalogue.getPrice('image'), again)
  await catalogue.deletePrice('image')
  clock.ms += CATALOGUE_LEASE_MS
  t.equal(await codeOf(catalogue.getPrice('image')), 'action_not_found')
  t.equal(await codeOf(catalogue.deletePrice('image')), 'action_not_found')
})

t.test('a price that makes no sense is not kept', async (t) => {
  const db = await openFresh(t)
  const { catalogue } = withClock(db)
  const put = (terms: PriceTerms) => codeOf(catalogue.putPrice('image', terms))
  t.equal(await put(byFormula('tokens *')), 'formula_error')
  t.equal(await put(byFormula('0 - 1')), 'formula_error')
  t.equal(await put(fixed(1, { requiredTier: 'gold' })), 'invalid_request')
  t.equal(await put(fixed(1, { tierCosts: { pro: 1, gold: 2 } })), 'invalid_request')
  await t.rejects(catalogue.putPrice('image', fixed(1, { tierCosts: { gold: 2 } })), {
    message: 'body tierCosts.gold: There is no tier gold',
  })
  const { rows } = await db.pool.query('select count(*) as count from prices')
  t.same(rows, [{ count: 0 }])
})

t.test('a formula that was damaged by hand spoils its own action only', async (t) => {
  const db = await openFresh(t)
  const { catalogue, clock } = withClock(db)
  await catalogue.putPrice('image', fixed(5))
  await catalogue.putPrice('chat', byFormula('1 + 1'))
  await db.pool.query(`update prices set formula = '1 +' where action = 'chat'`)
  clock.ms += CATALOGUE_LEASE_MS
  t.equal(await amountOf(catalogue), 5)
  t.equal(await codeOf(amountOf(catalogue, 'chat')), 'formula_error')
})

t.test('prices are listed by name, page by page', async (t) => {
  const { catalogue } = withClock(await openFresh(t))
  for (const action of ['b', 'a.2', 'a', 'B', 'a:1', 'a-1'])
    await catalogue.putPrice(action, fixed(1))
  const names = async (after: string | null, limit: number) =>
    (await catalogue.listPrices({ after, limit })).map(({ action }) => action)
  t.same(await names(null, 10), ['B', 'a', 'a-1', 'a.2', 'a:1', 'b'])
  t.same(await names(null, 2), ['B', 'a'])
  t.same(await names('a', 3), ['a-1', 'a.2', 'a:1'])
  t.same(await names('a.1', 1), ['a.2'], 'a position whose action is gone')
  t.same(await names('b', 10), [])
})

t.test('a new database has the tiers of the trade', async (t) => {
  const { catalogue } = withClock(await openFresh(t))
  t.same(await catalogue.listTiers(), [
    { id: 'free', level: 0 },
    { id: 'basic', level: 10 },
    { id: 'pro', level: 20 },
    { id: 'premium', level: 30 },
    { id: 'enterprise', level: 40 },
    { id: 'lifetime', level: 50 },
  ])
  t.same(await catalogue.listPrices({ after: null, limit: 10 }), [])
  t.equal(await catalogue.hasTier('pro'), true)
  t.equal(await catalogue.hasTier('gold'), false)
})

t.test('a tier that a price names can not go', async (t) => {
  const { catalogue, clock } = withClock(await openFresh(t))
  await catalogue.putPrice('image', fixed(5, { tierCosts: { pro: 1 }, requiredTier: 'basic' }))
  const tiers = [
    { id: 'pro', level: 2 },
    { id: 'basic', level: 1 },
  ]
  for (const kept of [[], [{ id: 'pro', level: 2 }], [{ id: 'basic', level: 1 }]]) {
    await t.rejects(catalogue.putTiers(kept), { code: 'tier_in_use', fields: { action: 'image' } })
  }
  t.same(await catalogue.putTiers(tiers), tiers.toReversed(), 'by level')
  clock.ms += CATALOGUE_LEASE_MS
  t.same(await catalogue.listTiers(), tiers.toReversed())
  await catalogue.deletePrice('image')
  t.same(await catalogue.putTiers([]), [])
})

t.test('a price and the loss of its tier never both succeed', async (t) => {
  const db = await openFresh(t)
  const { catalogue } = withClock(db)
  const tiers = [
    { id: 'free', level: 0 },
    { id: 'rare', level: 1 },
  ]
  for (let round = 0; round < 20; round += 1) {
    await catalogue.putTiers(tiers)
    const outcomes = await Promise.all([
      codeOf(catalogue.putPrice('image', fixed(1, { requiredTier: 'rare' }))),
      codeOf(catalogue.putTiers(tiers.slice(0, 1))),
    ])
    t.equal(outcomes.filter((code) => code === 'none').length, 1, outcomes.join(' '))
    await catalogue.deletePrice('image').catch(() => {})
  }
})

t.test('at once, many writers leave one of their prices', async (t) => {
  const db = await openFresh(t)
  const { catalogue, clock } = withClock(db)
  const costs = Array.from({ length: 20 }, (_, n) => n + 1)
  await Promise.all(costs.map((cost) => catalogue.putPrice('image', fixed(cost))))
  clock.ms += CATALOGUE_LEASE_MS
  t.ok(costs.includes(await amountOf(catalogue)))
})

t.test('the list has a limit, and is quick up to it', async (t) => {
  const db = await openFresh(t)
  const { catalogue, clock, store } = withClock(db)
  await db.pool.query(`
    insert into prices (action, formula, tier_costs, description, created_at, updated_at)
    select 'action.' || n, 'tokens * 0.001 + ' || n, null, repeat('x', 100), now(), now()
    from generate_series(1, 10000) n`)
  t.equal(await codeOf(catalogue.putPrice('one.more', fixed(1))), 'limit_exceeded')
  t.equal(await codeOf(catalogue.putPrice('action.7', fixed(1))), 'none')
  t.equal(await amountOf(catalogue, 'action.7'), 1)
  clock.ms += CATALOGUE_LEASE_MS
  const start = performance.now()
  const loaded = await store.load(null, () => {})
  const fullMs = performance.now() - start
  t.equal(loaded?.prices.length, 10_000)
  const again = performance.now()
  t.equal(await store.load(loaded?.fingerprint ?? null, () => {}), null)
  t.comment(`10,000 prices: ${fullMs} ms, unchanged ${performance.now() - again} ms`)
})
