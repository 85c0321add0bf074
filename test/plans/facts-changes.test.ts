import fc from 'fast-check'
import t from 'tap'
import { APPLIED, DAY_MS, monthAround, openPlace, type Place, paid, viewOf } from './facts-kit.js'

/** A plan of 100 credits that Creem bills, beside the one of 900. */
const openChange = async (t: Parameters<typeof openPlace>[0]) => {
  const place = await openPlace(t)
  await place.call('PUT', '/v1/plans/small', {
    ...{ tier: 'basic', monthlyCredits: 100, creemPriceId: 'prod_small' },
  })
  await place.call('PUT', '/v1/plans/middle', {
    ...{ tier: 'pro', monthlyCredits: 300, creemPriceId: 'prod_middle' },
  })
  const month = monthAround(place.now())
  const lengthMs = month.periodEndMs - month.periodStartMs
  const of = (id: string, product: string, paidAtMs: number) =>
    paid({
      ...{ ...month, provider: 'creem', accountId: id, subscriptionId: `sub_${id}`, paidAtMs },
      ...{ priceIds: [`prod_${product}`], paymentId: `tran_${product}_${id}` },
    })
  /** What of a difference the rest of the month from an instant on is worth. */
  const share = (credits: number, fromMs: number) =>
    Math.floor((credits * (month.periodEndMs - fromMs)) / lengthMs)
  return { place, month, of, share }
}

/** Gives facts in an order; those that are parked again after the others. */
const tell = async ({ take }: Place, facts: readonly Parameters<Place['take']>[0][]) => {
  const parked = []
  for (const fact of facts) if ((await take(fact)).kind === 'parked') parked.push(fact)
  for (const fact of parked) {
    const { kind } = await take(fact)
    if (kind !== 'applied') throw new Error(`${kind}, though all is known`)
  }
}

t.test('of one period, what is paid later for another plan is a change', async (t) => {
  const { place, month, of, share } = await openChange(t)
  const atMs = month.periodStartMs + 6 * DAY_MS
  const orders = fc.sample(fc.shuffledSubarray([0, 1, 0, 1], { minLength: 4, maxLength: 4 }), {
    numRuns: 12,
  })
  for (const [n, order] of [[0, 1], [1, 0], ...orders].entries()) {
    const id = `ada-${n}`
    await place.open(id)
    const facts = [of(id, 'small', month.periodStartMs + 9_000), of(id, 'top', atMs)]
    await tell(
      place,
      order.flatMap((index) => facts[index] ?? []),
    )
    t.match(await place.balance(id), { balance: 100 + share(800, atMs) }, `order ${order}`)
    t.match(await viewOf(place, id), {
      ...{ planId: 'top', tier: 'premium', paidUntil: new Date(month.periodEndMs).toISOString() },
    })
  }
  t.same(await place.mismatches(), [])
})

t.test('of two changes each brings its part, whichever is heard of first', async (t) => {
  const { place, month, of, share } = await openChange(t)
  const [firstMs, secondMs] = [month.periodStartMs + 4 * DAY_MS, month.periodStartMs + 7 * DAY_MS]
  const expected = 100 + share(200, firstMs) + share(600, secondMs)
  for (const [n, order] of [
    [0, 1, 2],
    [0, 2, 1],
    [2, 1, 0],
  ].entries()) {
    const id = `bob-${n}`
    await place.open(id)
    const facts = [
      of(id, 'small', month.periodStartMs),
      of(id, 'middle', firstMs),
      of(id, 'top', secondMs),
    ]
    await tell(
      place,
      order.flatMap((index) => facts[index] ?? []),
    )
    const { balance } = await place.balance(id)
    t.ok(balance === expected || balance === expected + 1, `order ${order}: ${balance}`)
    t.match(await viewOf(place, id), { planId: 'top' })
  }
})

t.test('a change on the day that a period began counts from its beginning', async (t) => {
  const { place, month, of } = await openChange(t)
  for (const [n, order] of [
    [0, 1],
    [1, 0],
  ].entries()) {
    const id = `cy-${n}`
    await place.open(id)
    const { periodStartMs } = month
    const facts = [of(id, 'small', periodStartMs), of(id, 'top', periodStartMs + 3_600_000)]
    await tell(
      place,
      order.flatMap((index) => facts[index] ?? []),
    )
    t.match(await place.balance(id), { balance: 900 }, `order ${order}`)
    t.match(await viewOf(place, id), { planId: 'top' })
  }
})

t.test('a renewal that is paid days late is the period, and no change', async (t) => {
  const { place, month, of } = await openChange(t)
  await place.open('dan')
  const before = {
    ...of('dan', 'small', month.periodStartMs - 31 * DAY_MS),
    ...{ periodStartMs: month.periodStartMs - 31 * DAY_MS, periodEndMs: month.periodStartMs },
  }
  const late = {
    ...of('dan', 'small', month.periodStartMs + 4 * DAY_MS),
    ...{ paymentId: 'tran_late', reason: 'cycle' as const },
  }
  t.same(await place.take(before), APPLIED)
  const other = { ...late, priceIds: ['prod_top'], paymentId: 'tran_other' }
  t.match(await place.take(other), { kind: 'parked' }, 'of what?')
  t.same(await place.take(late), APPLIED)
  t.match(await place.balance('dan'), { balance: 100 })
  t.match(await viewOf(place, 'dan'), { planId: 'small' })
})
