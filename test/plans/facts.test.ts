import t from 'tap'
import { APPLIED, DAY_MS, monthAround, openPlace, paid, read, viewOf } from './facts-kit.js'

t.test('a paid period brings its credits once, however often it is told', async (t) => {
  const place = await openPlace(t)
  await place.open('ada')
  const month = monthAround(place.now())
  t.same(await place.take(read({ asOfMs: place.now() })), APPLIED)
  t.match(await place.balance('ada'), { balance: 0 }, 'a reading brings nothing')
  t.match(await viewOf(place), { status: 'active', paidUntil: null, periodStart: null })
  const fact = paid(month)
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => place.take(fact)))
  for (const outcome of outcomes) t.same(outcome, APPLIED)
  t.same(await place.take(fact), APPLIED)
  t.match(await place.balance('ada'), { balance: 100 })
  t.match(await viewOf(place), {
    planId: 'basic',
    provider: 'stripe',
    providerSubscriptionId: 'sub_1',
    periodStart: new Date(month.periodStartMs).toISOString(),
    periodEnd: new Date(month.periodEndMs).toISOString(),
    paidUntil: new Date(month.periodEndMs).toISOString(),
  })
  // another event of the same payment, and another payment of the same period
  t.same(await place.take({ ...fact, accountId: null }), APPLIED)
  t.same(await place.take({ ...fact, paymentId: 'in_other' }), APPLIED)
  t.match(await place.balance('ada'), { balance: 100 })
  t.same(await place.mismatches(), [])
})

t.test('a month that is not paid for brings nothing; the next payment does', async (t) => {
  const place = await openPlace(t)
  await place.open('ada')
  const { periodStartMs, periodEndMs } = monthAround(place.now())
  await place.take(paid({ periodStartMs, periodEndMs }))
  await place.moveTo(periodEndMs + 1_000)
  t.match(await place.allocate(), /^0 subscriptions/)
  await place.sweep('ada')
  t.match(await place.balance('ada'), { balance: 0 })
  const next = { periodStartMs: periodEndMs, periodEndMs: periodEndMs + 30 * DAY_MS }
  t.same(await place.take(paid({ ...next, reason: 'cycle' })), APPLIED)
  t.match(await place.balance('ada'), { balance: 100 })
  t.same(place.logged, [])
  const past = paid({ periodStartMs: 0, periodEndMs: DAY_MS })
  t.match(await place.take(past), APPLIED, 'days late')
  t.match(await place.take(past), APPLIED)
  t.equal(place.logged.length, 1, 'is said once')
  t.match(place.logged[0], [{ subscriptionId: 'sub_1', paymentId: past.paymentId }, /over before/])
  t.match(await place.balance('ada'), { balance: 100 }, 'brings nothing for now')
  t.same(await place.mismatches(), [])
})

t.test(
  'a year that is paid at once brings credits month by month, and no thirteenth',
  async (t) => {
    const place = await openPlace(t)
    await place.open('ada')
    const periodStartMs = place.now() - 1_000
    const start = new Date(periodStartMs)
    const periodEndMs = new Date(periodStartMs).setUTCFullYear(start.getUTCFullYear() + 1)
    await place.take(paid({ periodStartMs, periodEndMs }))
    for (let month = 1; month <= 12; month += 1) {
      t.match(await place.balance('ada'), { balance: 100 }, `month ${month}`)
      t.equal((await place.rows('ada', 'allocation')).length, month)
      const { periodEnd, paidUntil } = await viewOf(place)
      t.equal(periodEnd === paidUntil, month === 12)
      await place.moveTo(Date.parse(periodEnd))
      await place.allocate()
    }
    await place.sweep('ada')
    t.match(await place.balance('ada'), { balance: 0 })
    t.equal((await place.rows('ada', 'allocation')).length, 12)
    t.same(await place.mismatches(), [])
  },
)

t.test('while it is not paid for, a year brings no new month; what is there stays', async (t) => {
  const place = await openPlace(t)
  await place.open('ada')
  const periodStartMs = place.now() - 1_000
  await place.take(paid({ periodStartMs, periodEndMs: periodStartMs + 365 * DAY_MS }))
  t.same(await place.take(read({ status: 'past_due', asOfMs: place.now() })), APPLIED)
  t.match(await place.balance('ada'), { balance: 100 })
  const { periodEnd } = await viewOf(place)
  await place.moveTo(Date.parse(periodEnd) + DAY_MS)
  await place.allocate()
  await place.sweep('ada')
  t.match(await place.balance('ada'), { balance: 0 })
  t.match(await viewOf(place), { status: 'past_due' })
  t.same(await place.take(read({ status: 'active', asOfMs: place.now() })), APPLIED)
  t.match(await place.balance('ada'), { balance: 100 }, 'it is active again, in the same month')
  const late = read({ status: 'paused', asOfMs: place.now() - 2 * DAY_MS })
  t.same(await place.take(late), APPLIED)
  t.match(await viewOf(place), { status: 'active' }, 'of two readings the later one counts')
  t.same(await place.mismatches(), [])
})

t.test('an upgrade brings the difference for what it was paid for', async (t) => {
  const place = await openPlace(t)
  await place.open('ada')
  const month = monthAround(place.now())
  const update = paid({
    ...month,
    ...{ reason: 'update', priceIds: ['price_plus'], paymentId: 'in_up', accountId: null },
    periodStartMs: place.now() - DAY_MS,
  })
  t.match(await place.take({ ...update, accountId: 'ada' }), { kind: 'parked' }, 'of what?')
  await place.take(paid(month))
  t.match(await place.balance('ada'), { balance: 100 })
  await place.take(read({ priceIds: ['price_plus'], asOfMs: place.now() }))
  t.match(await place.balance('ada'), { balance: 100 }, 'what is told is not paid')
  t.same(await place.take(update), APPLIED)
  const length = month.periodEndMs - month.periodStartMs
  const rest = month.periodEndMs - update.periodStartMs
  const expected = 100 + Math.floor((200 * rest) / length)
  t.match(await place.balance('ada'), { balance: expected })
  t.match(await viewOf(place), { planId: 'plus', tier: 'pro' })
  t.same(await place.take(update), APPLIED)
  t.match(await place.balance('ada'), { balance: expected })
  t.same(await place.mismatches(), [])
})

t.test('a downgrade that is told counts from the next month of a year', async (t) => {
  const place = await openPlace(t)
  await place.open('ada')
  const periodStartMs = place.now() - 1_000
  const year = { periodStartMs, periodEndMs: periodStartMs + 365 * DAY_MS }
  await place.take(paid({ ...year, priceIds: ['price_plus'] }))
  await place.take(read({ priceIds: ['price_basic'], asOfMs: place.now() }))
  t.match(await place.balance('ada'), { balance: 300 })
  t.match(await viewOf(place), { planId: 'plus', nextPlanId: 'basic' })
  await place.moveTo(Date.parse((await viewOf(place)).periodEnd))
  await place.allocate()
  t.match(await place.balance('ada'), { balance: 100 })
  t.same(await place.mismatches(), [])
})

t.test('a trial brings the tier, and credits only where the plan says so', async (t) => {
  const place = await openPlace(t)
  const nowMs = place.now()
  const trial = { periodStartMs: nowMs - DAY_MS, periodEndMs: nowMs + 6 * DAY_MS }
  const tierOf = async (id: string) =>
    (await place.call('GET', `/v1/accounts/${id}`)).body.membershipTier
  for (const [id, price, credits] of [
    ['ada', 'price_plus', 0],
    ['bob', 'price_try', 50],
  ] as const) {
    await place.open(id)
    const of = { subscriptionId: `sub_${id}`, accountId: id, priceIds: [price] }
    const fact = { ...trial, ...of, amountPaid: 0, paymentId: `in_${id}` }
    await place.take(read({ ...of, ...trial, status: 'trialing', asOfMs: nowMs }))
    t.match(await place.balance(id), { balance: credits })
    t.same(await place.take(paid(fact)), APPLIED)
    t.match(await place.balance(id), { balance: credits }, 'told twice, by two kinds of facts')
    t.equal(await tierOf(id), 'pro')
    const { status, periodEnd } = await viewOf(place, id)
    t.equal(status, 'trialing')
    t.equal(Date.parse(periodEnd), trial.periodEndMs, 'it ends with its last day')
  }
  await place.moveTo(trial.periodEndMs)
  t.equal(await tierOf('bob'), null)
  const of = { subscriptionId: 'sub_bob', accountId: 'bob', priceIds: ['price_try'] }
  const first = { periodStartMs: trial.periodEndMs, periodEndMs: trial.periodEndMs + 31 * DAY_MS }
  await place.take(paid({ ...first, ...of, paymentId: 'in_first', reason: 'cycle' }))
  t.match(await place.balance('bob'), { balance: 50 }, 'what follows is a period of its own')
  t.match(await viewOf(place, 'bob'), { status: 'active' })
  t.same(await place.mismatches(), [])
})

t.test('what was canceled keeps its credits until the period ends', async (t) => {
  const place = await openPlace(t)
  await place.open('ada')
  await place.open('bob')
  const periodStartMs = place.now() - 1_000
  const year = { periodStartMs, periodEndMs: periodStartMs + 365 * DAY_MS }
  await place.take(paid(year))
  await place.take(read({ status: 'canceled', asOfMs: place.now() }))
  t.match(await place.balance('ada'), { balance: 100 })
  const view = await viewOf(place)
  t.match(view, { status: 'canceled', endsAt: view.periodEnd })
  const bobs = { accountId: 'bob', subscriptionId: 'sub_2' }
  await place.take(paid({ ...year, ...bobs, paymentId: 'in_2' }))
  await place.take(read({ ...bobs, willEnd: true, asOfMs: place.now() }))
  t.match(await viewOf(place, 'bob'), {
    status: 'active',
    endsAt: new Date(year.periodEndMs).toISOString(),
  })
  await place.moveTo(Date.parse(view.periodEnd))
  await place.allocate()
  await place.sweep('ada')
  t.match(await place.balance('ada'), { balance: 0 })
  t.match(await place.balance('bob'), { balance: 100 }, 'what is paid is had to the end')
  t.same(await place.mismatches(), [])
})

t.test('what can not be placed is parked, ignored or refused, and says why', async (t) => {
  const place = await openPlace(t)
  await place.open('ada')
  await place.open('zoe')
  await place.call('DELETE', '/v1/accounts/zoe')
  const month = monthAround(place.now())
  for (const [fact, kind, reason] of [
    [paid({ ...month, accountId: 'nobody' }), 'parked', /nobody has not been opened/],
    [paid({ ...month, accountId: null }), 'parked', /whose/],
    [paid({ ...month, accountId: null, priceIds: ['price_x'] }), 'ignored', /neither/],
    [paid({ ...month, priceIds: ['price_x'] }), 'refused', /no plan has the price price_x/],
    [paid({ ...month, priceIds: ['prod_top'] }), 'refused', /no plan/],
    [paid({ ...month, priceIds: [] }), 'refused', /no plan/],
    [paid({ ...month, accountId: 'zoe' }), 'refused', /closed/],
    [paid({ ...month, periodEndMs: month.periodStartMs }), 'refused', /before it begins/],
    [read({ priceIds: ['price_x'] }), 'refused', /no plan/],
    [read({ accountId: null, subscriptionId: 'sub_9' }), 'parked', /whose/],
  ] as const) {
    t.match(await place.take(fact), { kind, reason })
  }
  await place.open('nobody')
  t.same(await place.take(paid({ ...month, accountId: 'nobody' })), APPLIED, 'asked again')
  t.match(await place.balance('nobody'), { balance: 100 })
  await place.take(paid({ ...month, subscriptionId: 'sub_2', paymentId: 'in_2' }))
  const over = { subscriptionId: 'sub_2', status: 'canceled', asOfMs: place.now() } as const
  t.match(await place.take(read({ ...over, priceIds: ['price_x'] })), { kind: 'refused' })
  t.match(await viewOf(place), { status: 'canceled' }, 'it has ended whatever it costs')
  t.same(await place.mismatches(), [])
})

t.test(
  'a payment takes the place of a plan that nobody bills; it is taken over on demand',
  async (t) => {
    const place = await openPlace(t)
    await place.open('ada')
    await place.subscribe('ada', 'free')
    await place.take(read({ asOfMs: place.now() }))
    t.match(await viewOf(place), { planId: 'free', provider: null }, 'nothing is paid')
    const fact = paid(monthAround(place.now()))
    await place.take(fact)
    t.match(await viewOf(place), { planId: 'basic', provider: 'stripe' })
    t.match(await place.balance('ada'), { balance: 110 }, 'the free credits end with their period')
    t.match(await place.subscribe('ada', 'basic'), { provider: 'stripe' })
    const own = await place.subscribe('ada', 'basic', { provider: null })
    t.match(own, {
      provider: null,
      paidUntil: null,
      periodEnd: new Date(fact.periodEndMs).toISOString(),
    })
    await place.take(fact)
    t.match(await viewOf(place), { provider: null }, 'what was told before is no news')
    t.match(await place.balance('ada'), { balance: 110 })
    t.same(await place.mismatches(), [])
  },
)

t.test('what is paid for a guest goes to the user whom it has become', async (t) => {
  const place = await openPlace(t)
  await place.open('guest')
  await place.open('ada')
  const periodStartMs = place.now() - 1_000
  const year = { periodStartMs, periodEndMs: periodStartMs + 365 * DAY_MS }
  await place.take(paid({ ...year, accountId: 'guest' }))
  t.match(await place.balance('guest'), { balance: 100 })
  place.payees.set('guest', 'ada')
  await place.call('DELETE', '/v1/accounts/guest')
  const next = { ...year, accountId: null, paymentId: 'in_2', reason: 'cycle' as const }
  t.same(await place.take(paid(next)), APPLIED)
  t.match(await place.balance('ada'), { balance: 100 })
  t.match(await viewOf(place), { provider: 'stripe' })
  t.same(await place.mismatches(), [])
})

t.test('the months of a year that a guest paid go to the user without another word', async (t) => {
  const place = await openPlace(t)
  await place.open('guest')
  await place.open('ada')
  const periodStartMs = place.now() - 1_000
  const year = { periodStartMs, periodEndMs: periodStartMs + 365 * DAY_MS }
  await place.take(paid({ ...year, accountId: 'guest' }))
  const { periodEnd } = await viewOf(place, 'guest')
  place.payees.set('guest', 'ada')
  await place.call('DELETE', '/v1/accounts/guest')
  await place.moveTo(Date.parse(periodEnd))
  await place.run()
  t.match(await place.balance('ada'), { balance: 100 })
  t.match(await viewOf(place), { provider: 'stripe', planId: 'basic' })
  await place.moveTo(Date.parse((await viewOf(place)).periodEnd))
  await place.run()
  t.equal((await place.rows('ada', 'allocation')).length, 2)
  t.equal((await place.rows('guest', 'allocation')).length, 1)
  t.same(await place.mismatches(), [])
})
