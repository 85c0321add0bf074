import fc from 'fast-check'
import t from 'tap'
import {
  DAY_MS,
  type Fact,
  monthAround,
  openPlace,
  type Place,
  paid,
  read,
  viewOf,
} from './facts-kit.js'

/** What a provider tells in a month with an upgrade, and before and after. */
const monthWithRise = (nowMs: number): Fact[] => {
  const month = monthAround(nowMs)
  const before = {
    periodStartMs: month.periodStartMs - 30 * DAY_MS,
    periodEndMs: month.periodStartMs,
  }
  const plus = { priceIds: ['price_plus'] }
  const update = { ...month, ...plus, reason: 'update' } as const
  return [
    read({ status: 'active', asOfMs: nowMs - 50 * DAY_MS }),
    paid({ ...before, accountId: null }),
    read({ status: 'past_due', asOfMs: nowMs - 10 * DAY_MS, accountId: null }),
    paid({ ...month, reason: 'cycle' }),
    read({ status: 'active', asOfMs: nowMs - 9 * DAY_MS }),
    read({ ...plus, asOfMs: nowMs - 5 * DAY_MS }),
    paid({ ...update, periodStartMs: nowMs - 5 * DAY_MS, paymentId: 'in_up', accountId: null }),
    read({ ...plus, willEnd: true, asOfMs: nowMs - 2 * DAY_MS }),
    read({ ...plus, status: 'canceled', willEnd: true, asOfMs: nowMs - DAY_MS }),
  ]
}

/** A year that began months ago, of which all is heard now. */
const yearOf = (nowMs: number, ...then: Fact[]): Fact[] => {
  const year = { periodStartMs: nowMs - 100 * DAY_MS, periodEndMs: nowMs + 265 * DAY_MS }
  const plus = { priceIds: ['price_plus'] }
  return [
    read({ ...plus, asOfMs: nowMs - 100 * DAY_MS }),
    paid({ ...year, ...plus, accountId: null }),
    ...then,
  ]
}

const STORIES: readonly { name: string; facts(nowMs: number): Fact[]; end: object }[] = [
  {
    name: 'a month with a rise, then canceled',
    facts: monthWithRise,
    end: { planId: 'plus', status: 'canceled' },
  },
  {
    name: 'a year that was canceled',
    facts: (nowMs) =>
      yearOf(nowMs, read({ priceIds: ['price_plus'], status: 'canceled', asOfMs: nowMs - 1_000 })),
    end: { planId: 'plus', status: 'canceled', nextPlanId: null },
  },
  {
    name: 'a year with a fall',
    facts: (nowMs) =>
      yearOf(
        nowMs,
        read({ asOfMs: nowMs - 2_000 }),
        read({ willEnd: true, asOfMs: nowMs - 1_000 }),
      ),
    end: { planId: 'plus', status: 'active', nextPlanId: 'basic' },
  },
]

/** Gives all facts, those that are parked again until they are taken. */
const tell = async (place: Place, facts: readonly Fact[]): Promise<void> => {
  let waiting = facts
  for (let round = 0; waiting.length > 0 && round <= facts.length; round += 1) {
    const parked: Fact[] = []
    for (const fact of waiting) {
      const outcome = await place.take(fact)
      if (outcome.kind === 'parked') parked.push(fact)
      else if (outcome.kind !== 'applied') throw new Error(JSON.stringify(outcome))
    }
    waiting = parked
  }
  if (waiting.length > 0) throw new Error('some are parked for ever')
}

/** The same facts of another account. */
const factOf =
  (id: string) =>
  (fact: Fact): Fact => {
    const of = { accountId: fact.accountId && id, subscriptionId: `sub_${id}` }
    if (fact.kind === 'subscription') return { ...fact, ...of }
    return { ...fact, ...of, paymentId: `${fact.paymentId}-${id}` }
  }

/** How an account stands in the end, but for its names. */
const endOf = async (place: Place, id: string) => {
  const view = await viewOf(place, id)
  for (const name of ['createdAt', 'updatedAt', 'accountId', 'providerSubscriptionId']) {
    delete view[name]
  }
  const { balance, buckets } = await place.balance(id)
  const { membershipTier } = (await place.call('GET', `/v1/accounts/${id}`)).body
  return { view, balance, buckets, membershipTier }
}

const ORDERS = 25

t.test('facts in any order, all of them twice, come to the same in the end', async (t) => {
  const place = await openPlace(t)
  const seed = Number(process.env.FACTS_SEED ?? Date.now() % 1_000_003)
  t.comment(`FACTS_SEED=${seed}`)
  const nowMs = place.now()
  for (const [index, story] of STORIES.entries()) {
    const facts = story.facts(nowMs)
    const play = async (round: number, order: readonly number[]) => {
      const id = `ada-${index}-${round}`
      await place.open(id)
      const told = order.flatMap((n) => facts[n] ?? [])
      await tell(place, told.map(factOf(id)))
      return endOf(place, id)
    }
    const inOrder = [...facts.keys()]
    const expected = await play(0, inOrder)
    t.match(expected, { view: story.end, membershipTier: 'pro' }, story.name)
    const size = 2 * facts.length
    const shuffled = fc.shuffledSubarray([...inOrder, ...inOrder], {
      ...{ minLength: size, maxLength: size },
    })
    for (const [n, order] of fc.sample(shuffled, { numRuns: ORDERS, seed }).entries()) {
      t.same(await play(n + 1, order), expected, `${story.name}: ${order}`)
    }
  }
  t.same(await place.mismatches(), [])
})

t.test('two providers at once bring what was paid, and the later one goes on', async (t) => {
  const place = await openPlace(t)
  const { periodStartMs, periodEndMs } = monthAround(place.now())
  const first = paid({ periodStartMs, periodEndMs })
  const second = paid({
    ...{ provider: 'creem', subscriptionId: 'sub_c', priceIds: ['prod_top'], paymentId: 'tran_1' },
    ...{ periodStartMs: periodStartMs + DAY_MS, periodEndMs: periodEndMs + DAY_MS },
  })
  for (const [id, facts] of [
    ['ada', [first, second]],
    ['bob', [second, first]],
  ] as const) {
    await place.open(id)
    for (const fact of facts) {
      const of = { accountId: id, subscriptionId: `${fact.subscriptionId}-${id}` }
      await place.take({ ...fact, ...of, paymentId: `${fact.paymentId}-${id}` })
    }
    t.match(await place.balance(id), { balance: 1_000 }, id)
    t.match(await viewOf(place, id), { planId: 'top', provider: 'creem' }, id)
  }
  t.same(await place.mismatches(), [])
})
