import fc from 'fast-check'
import t from 'tap'
import {
  bonusOf,
  missing,
  type PlanTerms,
  riseTo,
  wholeOf,
  worthOf,
} from '../../src/plans/rules.js'

const RUNS = 10_000
const PERIOD = { startMs: Date.UTC(2027, 0, 1), endMs: Date.UTC(2027, 1, 1) }

const plan = (id: string, monthlyCredits: number, more: Partial<PlanTerms> = {}): PlanTerms => ({
  id,
  tier: `tier of ${id}`,
  monthlyCredits,
  rolloverEnabled: false,
  rolloverMax: 0,
  bonusPercentage: 0,
  trialCredits: false,
  ...more,
})

const sumOf = (list: readonly { credits: number }[]) =>
  list.reduce((sum, { credits }) => sum + credits, 0)

t.test('a plan in full: its credits, its bonus rounded down, its rollover', async (t) => {
  const pro = plan('pro', 333, { bonusPercentage: 10, rolloverEnabled: true, rolloverMax: 50 })
  t.match(wholeOf(pro, 'ada', PERIOD), { credits: 333, bonus: 33, rolloverMax: 50 })
  t.match(wholeOf({ ...pro, rolloverEnabled: false }, 'ada', PERIOD), { rolloverMax: 0 })
  t.equal(bonusOf(plan('x', 0, { bonusPercentage: 33 }), 999_999_999_999), 329_999_999_999)
})

t.test('a rise brings the difference for the rest of the period, rounded down', async (t) => {
  const [free, pro] = [plan('free', 10), plan('pro', 300)]
  const half = (PERIOD.startMs + PERIOD.endMs) / 2
  const rise = (atMs: number) =>
    riseTo('ada', PERIOD, { from: free, to: pro, atMs }, [{ credits: 10 }]).credits
  t.equal(rise(PERIOD.startMs), 290)
  t.equal(rise(half), 145)
  t.equal(rise(half + 1), 144, 'a moment less is a credit less')
  t.equal(rise(PERIOD.endMs), 0)
})

const plansOf = fc
  .array(
    fc.record({
      credits: fc.integer({ min: 0, max: 1_000_000_000_000 }),
      atMs: fc.integer({ min: PERIOD.startMs, max: PERIOD.endMs }),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((steps) => {
    const [first, ...rest] = steps.map(({ credits, atMs }, i) => ({
      plan: plan(`p${i}`, credits),
      fromMs: atMs,
    }))
    const later = rest.sort((a, b) => a.fromMs - b.fromMs)
    return { first: first?.plan ?? plan('none', 0), later }
  })

t.test('changes to and fro never bring more than the best plan does', async () => {
  const property = fc.property(plansOf, ({ first, later }) => {
    // one by one, as an operator changes them; what has fewer credits waits for the next period
    const given = [{ credits: first.monthlyCredits }]
    let from = first
    for (const { plan: to, fromMs } of later) {
      if (to.monthlyCredits < from.monthlyCredits) continue
      given.push({ credits: riseTo('ada', PERIOD, { from, to, atMs: fromMs }, given).credits })
      from = to
    }
    const best = Math.max(first.monthlyCredits, ...later.map((l) => l.plan.monthlyCredits))
    const sum = sumOf(given)
    return sum >= first.monthlyCredits && sum <= best && given.every(({ credits }) => credits >= 0)
  })
  fc.assert(property, { numRuns: RUNS })
})

t.test('what is given in a period is its worth, in whatever order its payments come', async () => {
  const orders = plansOf.chain((plans) =>
    fc.record({
      plans: fc.constant(plans),
      order: fc.shuffledSubarray(
        plans.later.map((_, index) => index),
        { minLength: plans.later.length },
      ),
    }),
  )
  const property = fc.property(orders, ({ plans, order }) => {
    const given: { planId: string; credits: number }[] = []
    const seen: number[] = []
    for (const index of [-1, ...order]) {
      if (index >= 0) seen.push(index)
      const later = plans.later.filter((_, i) => seen.includes(i))
      given.push(...missing('ada', PERIOD, { first: plans.first, later }, given))
      // asked again, it gives nothing more
      if (missing('ada', PERIOD, { first: plans.first, later }, given).length > 0) return false
    }
    const ids = given.map(({ planId }) => planId)
    return sumOf(given) === worthOf(plans, PERIOD) && new Set(ids).size === ids.length
  })
  fc.assert(property, { numRuns: RUNS })
})

t.test('a change to a plan with as many credits is for the tier alone', async (t) => {
  const [monthly, other] = [plan('monthly', 300), plan('other', 300)]
  const later = [{ plan: other, fromMs: PERIOD.startMs + 1 }]
  const given = [{ planId: 'monthly', credits: 300 }]
  t.match(missing('ada', PERIOD, { first: monthly, later }, given), [
    { planId: 'other', credits: 0, bonus: 0, tier: 'tier of other' },
  ])
  const fewer = [{ plan: plan('less', 299), fromMs: PERIOD.startMs + 1 }]
  t.same(missing('ada', PERIOD, { first: monthly, later: fewer }, given), [])
})
