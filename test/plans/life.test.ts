import t from 'tap'
import { openScene, putPlan, type Scene } from './kit.js'

const HOUR_MS = 3_600_000
const at = (text: unknown): number => Date.parse(String(text))

const viewOf = async ({ call }: Scene, accountId: string) =>
  (await call('GET', `/v1/accounts/${accountId}/subscription`)).body

/** To the middle of the period that is running; gives its beginning and end. */
const toTheMiddle = async (scene: Scene, accountId: string) => {
  const { periodStart, periodEnd } = await viewOf(scene, accountId)
  const period = { startMs: at(periodStart), endMs: at(periodEnd) }
  await scene.moveTo((period.startMs + period.endMs) / 2)
  return period
}

const tierOf = async ({ call }: Scene, accountId: string) =>
  (await call('GET', `/v1/accounts/${accountId}`)).body.membershipTier

t.test('a subscription brings credits and tier, and each period again', async (t) => {
  const scene = await openScene(t)
  const { call, subscribe, balance } = scene
  await scene.openBuyer('ada', 7)
  const view = await subscribe('ada', 'pro')
  t.match(view, {
    accountId: 'ada',
    planId: 'pro',
    tier: 'pro',
    nextPlanId: null,
    status: 'active',
    provider: null,
    providerSubscriptionId: null,
    paidUntil: null,
    endsAt: null,
  })
  t.match(await balance('ada'), { balance: 307, buckets: { monthly: 300, purchased: 7 } })
  t.equal(await tierOf(scene, 'ada'), 'pro')
  t.same(await subscribe('ada', 'pro'), {
    ...view,
    updatedAt: (await viewOf(scene, 'ada')).updatedAt,
  })
  t.match(await balance('ada'), { balance: 307 }, 'a repeat gives nothing')
  await call('POST', '/v1/accounts/ada/charges', { amount: 120 })
  await scene.moveTo(at(view.periodEnd) - 1_000)
  t.match(await scene.allocate(), /^0 subscriptions/)
  await scene.moveTo(at(view.periodEnd))
  t.equal(await tierOf(scene, 'ada'), null, 'until the job comes')
  t.match(await scene.allocate(), /^1 subscriptions due, 1 allocated, 0 failed$/)
  t.match(await balance('ada'), { balance: 307, buckets: { monthly: 300, purchased: 7 } })
  t.equal(await tierOf(scene, 'ada'), 'pro')
  t.match(await scene.rows('ada', 'expire'), [{ amount: -180 }])
  const next = await viewOf(scene, 'ada')
  t.equal(next.periodStart, view.periodEnd)
  t.match(await scene.rows('ada', 'allocation'), [
    { detail: { planId: 'pro', periodStart: view.periodStart, rolledOver: 0 } },
    { detail: { planId: 'pro', periodStart: view.periodEnd } },
  ])
  t.same(await scene.mismatches(), [])
})

t.test(
  'an upgrade adds the difference for the rest of the period, and no farming more',
  async (t) => {
    const scene = await openScene(t)
    const { open, subscribe, balance } = scene
    await open('ada')
    await subscribe('ada', 'free')
    const { startMs, endMs } = await toTheMiddle(scene, 'ada')
    const beforeMs = scene.now()
    t.match(await subscribe('ada', 'pro'), { planId: 'pro', nextPlanId: null })
    const afterMs = scene.now()
    const { balance: first } = await balance('ada')
    const share = (ms: number) => Math.floor((290 * (endMs - ms)) / (endMs - startMs))
    t.ok(first >= 10 + share(afterMs) && first <= 10 + share(beforeMs), `${first}`)
    t.equal(await tierOf(scene, 'ada'), 'pro')
    for (const planId of ['free', 'pro', 'pro_monthly', 'free', 'pro'])
      await subscribe('ada', planId)
    t.equal((await balance('ada')).balance, first, 'to and fro gives nothing')
    await subscribe('ada', 'lifetime')
    const { balance: second } = await balance('ada')
    t.ok(second > first && second <= 1000)
    await scene.moveTo(endMs)
    await scene.allocate()
    t.match(await balance('ada'), { balance: 1000 }, 'the next period brings it in full')
    t.match(await viewOf(scene, 'ada'), { planId: 'lifetime' })
    t.same(await scene.mismatches(), [])
  },
)

t.test('a downgrade waits for the next period', async (t) => {
  const scene = await openScene(t)
  const { open, subscribe, balance } = scene
  await open('ada')
  await subscribe('ada', 'lifetime')
  const { endMs } = await toTheMiddle(scene, 'ada')
  t.match(await subscribe('ada', 'free'), { planId: 'lifetime', nextPlanId: 'free' })
  t.match(await balance('ada'), { balance: 1000 })
  t.equal(await tierOf(scene, 'ada'), 'lifetime')
  await scene.moveTo(endMs)
  t.match(await viewOf(scene, 'ada'), { planId: 'free', nextPlanId: null }, 'also before the job')
  await scene.allocate()
  t.match(await balance('ada'), { balance: 10 })
  t.equal(await tierOf(scene, 'ada'), 'free')
  t.same(await scene.mismatches(), [])
})

t.test(
  'what is canceled stays until the period ends, can be resumed, and then is over',
  async (t) => {
    const scene = await openScene(t)
    const { call, subscribe, balance } = scene
    await scene.openBuyer('ada', 5)
    const path = '/v1/accounts/ada/subscription'
    await subscribe('ada', 'pro')
    const { endMs } = await toTheMiddle(scene, 'ada')
    const endsAt = new Date(endMs).toISOString()
    const canceled = await call('DELETE', path)
    t.match(canceled, { status: 200, body: { status: 'canceled', endsAt, periodEnd: endsAt } })
    t.equal((await call('DELETE', path)).status, 200, 'also twice')
    t.match(await balance('ada'), { balance: 305 })
    t.match(await subscribe('ada', 'pro'), { status: 'active', endsAt: null })
    t.match(await balance('ada'), { balance: 305 }, 'resumed, and nothing twice')
    await call('DELETE', path)
    t.match(await subscribe('ada', 'free'), { status: 'active', planId: 'pro', nextPlanId: 'free' })
    await call('DELETE', path)
    await scene.moveTo(endMs - 1_000)
    t.equal(await tierOf(scene, 'ada'), 'pro')
    await scene.moveTo(endMs)
    t.match(await scene.allocate(), /^0 subscriptions/)
    await scene.sweep('ada')
    t.match(await balance('ada'), { balance: 5, buckets: { monthly: 0, purchased: 5 } })
    t.equal(await tierOf(scene, 'ada'), null)
    t.match(await viewOf(scene, 'ada'), { status: 'canceled', endsAt, periodStart: null })
    t.equal((await call('DELETE', path)).status, 404, 'there is nothing left to cancel')
    const again = await subscribe('ada', 'free')
    t.ok(at(again.periodStart) >= endMs, 'a new one has periods of its own')
    t.match(await balance('ada'), { balance: 15 })
    t.same(await scene.mismatches(), [])
  },
)

t.test('an outage of months gives the period that is running, and none that passed', async (t) => {
  const scene = await openScene(t)
  const { open, subscribe, balance } = scene
  await open('ada')
  const { periodEnd } = await subscribe('ada', 'pro')
  await scene.moveTo(at(periodEnd) + 70 * 24 * HOUR_MS)
  await scene.allocate()
  t.match(await balance('ada'), { balance: 300 })
  t.equal((await scene.rows('ada', 'allocation')).length, 2)
  const view = await viewOf(scene, 'ada')
  t.ok(at(view.periodStart) <= scene.now() && scene.now() < at(view.periodEnd))
  t.same(await scene.mismatches(), [])
})

t.test('debt is paid first; what was bought, or given for other reasons, stays', async (t) => {
  const scene = await openScene(t)
  const { core, subscribe, balance } = scene
  await scene.openBuyer('ada', 50)
  const bought = (await scene.call('GET', '/v1/accounts/ada/grants')).body.grants[0]
  t.match(bought, { amount: 50 })
  await scene.call('POST', '/v1/accounts/ada/charges', { amount: 50 })
  await core.ledger.submit({
    ...{ accountId: 'ada', key: core.newId(), digest: core.newId() },
    ...{ actor: 'test', requestId: null, metadata: null },
    ...{ kind: 'claw_back', grantSeq: 1, target: 50, reason: null, detail: {} },
  })
  t.match(await balance('ada'), { balance: 0, debt: 50 })
  await subscribe('ada', 'pro')
  t.match(await balance('ada'), { balance: 250, debt: 0, buckets: { monthly: 250 } })
  await scene.call('POST', '/v1/accounts/ada/grants', { amount: 20, source: 'bonus' })
  await scene.call('POST', '/v1/accounts/ada/grants', { amount: 30, source: 'purchased' })
  const { endMs } = await toTheMiddle(scene, 'ada')
  await subscribe('ada', 'free')
  await scene.moveTo(endMs)
  await scene.allocate()
  t.match(await balance('ada'), { buckets: { monthly: 10, bonus: 20, purchased: 30 } })
  t.same(await scene.mismatches(), [])
})

t.test(
  'a frozen account is allocated to, a closed one is not, and no job fails for it',
  async (t) => {
    const scene = await openScene(t)
    const { call, open, subscribe, balance } = scene
    await open('ada')
    await open('bob')
    const { periodEnd } = await subscribe('ada', 'pro')
    await subscribe('bob', 'pro')
    await call('POST', '/v1/accounts/ada/freeze')
    await call('DELETE', '/v1/accounts/bob')
    await scene.moveTo(at(periodEnd) + HOUR_MS)
    t.match(await scene.allocate(), /^2 subscriptions due, 1 allocated, 0 failed$/)
    t.match(await balance('ada'), { balance: 300 })
    t.match(await viewOf(scene, 'bob'), { status: 'canceled' })
    t.equal((await scene.rows('bob', 'allocation')).length, 1)
    await scene.moveTo(scene.now() + 40 * 24 * HOUR_MS)
    t.match(await scene.allocate(), /^1 subscriptions/)
    t.same(await scene.mismatches(), [])
  },
)

t.test('a bonus comes in a lot of its own, and ends with the period', async (t) => {
  const scene = await openScene(t)
  await putPlan(scene, 'gift', { tier: 'pro', monthlyCredits: 55, bonusPercentage: 10 })
  await scene.open('ada')
  const { periodEnd } = await scene.subscribe('ada', 'gift')
  t.match(await scene.balance('ada'), { balance: 60, buckets: { monthly: 55, bonus: 5 } })
  const { grants } = (await scene.call('GET', '/v1/accounts/ada/grants')).body
  t.match(grants, [{ expiresAt: periodEnd }, { expiresAt: periodEnd }])
  const { rows } = await scene.core.db.pool.query(
    `select data from events where type = 'allocation.created'`,
  )
  t.match(rows, [{ data: { planId: 'gift', credits: 55, bonus: 5, rolledOver: 0, periodEnd } }])
  t.equal(rows.length, 1)
  t.same(await scene.mismatches(), [])
})

t.test(
  'unused credits roll over within the cap, month by month, as a plain model says',
  async (t) => {
    const scene = await openScene(t)
    const { call, subscribe, balance } = scene
    const [monthly, cap, bonusPercentage] = [100, 150, 20]
    await putPlan(scene, 'roll', {
      ...{ tier: 'pro', monthlyCredits: monthly, bonusPercentage },
      ...{ rolloverEnabled: true, rolloverMax: cap },
    })
    await scene.openBuyer('ada', 1_000)
    let { periodEnd } = await subscribe('ada', 'roll')
    // the lots of the period pay first, the one that was made first before the other
    let lot = monthly
    let bonus = monthly / 5
    let bought = 1_000
    const seed = Date.now() % 1_000_003
    t.comment(`seed ${seed}`)
    let random = seed
    for (let month = 0; month < 14; month += 1) {
      random = (random * 48_271) % 2_147_483_647
      const spent = month === 3 ? 400 : random % 160
      if (spent > 0) await call('POST', '/v1/accounts/ada/charges', { amount: spent })
      let left = spent
      const take = (from: number) => {
        const part = Math.min(from, left)
        left -= part
        return from - part
      }
      lot = take(lot)
      bonus = take(bonus)
      bought = take(bought)
      t.match(
        (await balance('ada')).buckets,
        { monthly: lot, bonus, purchased: bought },
        `${month}`,
      )
      await scene.moveTo(at(periodEnd))
      if (month % 2 === 0) await scene.sweep('ada')
      await scene.allocate()
      const rolledOver = Math.min(lot, cap)
      lot = monthly + rolledOver
      bonus = monthly / 5
      const rows = await scene.rows('ada', 'allocation')
      t.match(rows.at(-2), { amount: lot, detail: { rolledOver, credits: monthly } })
      periodEnd = (await viewOf(scene, 'ada')).periodEnd
    }
    t.same(await scene.mismatches(), [])
  },
)

t.test('what the ledger can not write now is written later, and once', async (t) => {
  const scene = await openScene(t)
  const { call, core, open, subscribe, balance } = scene
  await open('ada')
  await open('bob')
  await core.db.pool.query('update control set writable = false')
  for (const id of ['ada', 'bob']) {
    const refused = await call('PUT', `/v1/accounts/${id}/subscription`, { planId: 'pro' })
    t.match(refused, { status: 503, body: { code: 'maintenance' } })
  }
  t.match(await balance('ada'), { balance: 0 })
  await core.db.pool.query('update control set writable = true')
  await subscribe('ada', 'pro')
  t.match(await balance('ada'), { balance: 300 }, 'asked again')
  await scene.moveTo(scene.now() + HOUR_MS)
  await scene.allocate()
  t.match(await balance('ada'), { balance: 300 })
  t.match(await balance('bob'), { balance: 300 }, 'or by the job')
  t.same(await scene.mismatches(), [])
})

t.test('asked twenty times at once, of two instances, it brings its credits once', async (t) => {
  const one = await openScene(t)
  const other = await openScene(t, { url: one.url })
  const places = Array.from({ length: 20 }, (_, n) => (n % 2 ? one : other))
  await one.open('ada')
  await Promise.all(places.map((place) => place.subscribe('ada', 'free')))
  t.match(await one.balance('ada'), { balance: 10 })
  const { startMs, endMs } = await toTheMiddle(one, 'ada')
  await other.moveTo((startMs + endMs) / 2)
  await Promise.all(places.map((place) => place.subscribe('ada', 'pro')))
  const { balance } = await one.balance('ada')
  t.ok(balance > 150 && balance <= 155, `${balance}`)
  // anything at all, at once
  const path = '/v1/accounts/ada/subscription'
  const acts = places.map((place, n) => {
    if (n % 3 === 0) return place.call('DELETE', path)
    return place.call('PUT', path, { planId: n % 3 === 1 ? 'lifetime' : 'pro_monthly' })
  })
  for (const { status } of await Promise.all(acts)) t.equal(status, 200)
  const { balance: most } = await one.balance('ada')
  t.ok(most > balance && most <= 155 + 350, `${most}`)
  const { rows } = await one.core.db.pool.query(
    'select plan_id from allocations where done_at is not null order by 1',
  )
  const planIds = rows.map(({ plan_id }) => plan_id)
  t.equal(new Set(planIds).size, planIds.length, 'once for each plan')
  t.same(await one.mismatches(), [])
})

t.test('what a provider bills is canceled until its next payment says otherwise', async (t) => {
  const scene = await openScene(t)
  const { call, open, subscribe } = scene
  await open('ada')
  const link = { provider: 'stripe', providerSubscriptionId: 'sub_1' }
  await subscribe('ada', 'pro', link)
  const canceled = await call('DELETE', '/v1/accounts/ada/subscription')
  t.match(canceled, { status: 200, body: { status: 'canceled', paidUntil: null } })
  t.match(await subscribe('ada', 'free'), { planId: 'free', provider: null, status: 'active' })
  t.match(await scene.balance('ada'), { balance: 10 })
  t.same(await scene.mismatches(), [])
})
