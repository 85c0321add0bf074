import fc from 'fast-check'
import t from 'tap'
import { monthsAfter, type Period } from '../../src/plans/calendar.js'
import { type Payment, periodOn, scheduleOf } from '../../src/plans/standing.js'

const DAY_MS = 86_400_000
const at = (text: string) => Date.parse(text)

const payment = (startMs: number, endMs: number, more: Partial<Payment> = {}): Payment => ({
  paymentId: `in_${startMs}`,
  planId: 'plus',
  reason: 'cycle',
  amountPaid: 1_000,
  periodStartMs: startMs,
  periodEndMs: endMs,
  paidAtMs: null,
  ...more,
})

const periodAt = (payments: readonly Payment[], nowMs: number): Period | null => {
  const schedule = scheduleOf(payments, nowMs)
  return schedule && periodOn(schedule, nowMs)
}

const anchors = fc
  .date({ min: new Date('2020-01-01'), max: new Date('2060-12-31'), noInvalidDate: true })
  .map((date) => date.getTime())
/** Many months have no 29th, 30th or 31st. */
const lateAnchors = fc
  .record({ month: fc.integer({ min: 0, max: 400 }), day: fc.integer({ min: 28, max: 31 }) })
  .map(({ month, day }) => Date.UTC(2020, month, day, 12))

t.test('each paid month is one period, whenever it is first heard of', async () => {
  const property = fc.property(
    fc.oneof(anchors, lateAnchors),
    fc.integer({ min: 0, max: 12 }),
    fc.array(fc.double({ min: 0, max: 0.999_999, noNaN: true }), { minLength: 3, maxLength: 3 }),
    (anchor, from, shares) => {
      const months = Array.from({ length: 14 }, (_, n) =>
        payment(monthsAfter(anchor, n), monthsAfter(anchor, n + 1)),
      )
      const starts = new Set<number>()
      for (let n = from; n < months.length; n += 1) {
        const known = months.slice(from, n + 1)
        const { periodStartMs, periodEndMs } = months[n] ?? payment(0, 1)
        const instants = shares.map(
          (s) => periodStartMs + Math.floor(s * (periodEndMs - periodStartMs)),
        )
        const periods = [periodStartMs, ...instants, periodEndMs - 1].map((ms) =>
          periodAt(known, ms),
        )
        for (const period of periods) {
          if (period?.startMs !== periodStartMs || period.endMs !== periodEndMs) return false
        }
        starts.add(periodStartMs)
      }
      return starts.size === months.length - from
    },
  )
  fc.assert(property, { numRuns: 10_000 })
})

t.test('a paid year is twelve periods without a gap', async () => {
  const property = fc.property(fc.oneof(anchors, lateAnchors), (anchor) => {
    const endMs = monthsAfter(anchor, 12)
    const year = [payment(anchor, endMs)]
    const ends: number[] = []
    for (let ms = anchor; ms < endMs; ) {
      const period = periodAt(year, ms)
      if (period === null || period.startMs !== ms) return false
      ends.push(period.endMs)
      ms = period.endMs
    }
    return ends.length === 12 && ends.at(-1) === endMs && periodAt(year, endMs) === null
  })
  fc.assert(property, { numRuns: 3_000 })
})

t.test('what is paid by the week brings a period each month', async (t) => {
  const start = at('2027-01-04T00:00:00Z')
  const weeks = Array.from({ length: 9 }, (_, n) =>
    payment(start + n * 7 * DAY_MS, start + (n + 1) * 7 * DAY_MS),
  )
  const startOf = (ms: number) => {
    const known = weeks.filter(({ periodStartMs }) => periodStartMs <= ms)
    return new Date(periodAt(known, ms)?.startMs ?? 0).toISOString().slice(0, 10)
  }
  t.equal(startOf(start), '2027-01-04')
  t.equal(startOf(start + 29 * DAY_MS), '2027-01-04')
  t.equal(startOf(start + 36 * DAY_MS), '2027-02-04')
})

t.test('a trial ends with its last day, and what follows begins anew', async (t) => {
  const trial = payment(at('2027-01-01T00:00:00Z'), at('2027-01-08T00:00:00Z'), { amountPaid: 0 })
  const month = payment(at('2027-01-08T00:00:00Z'), at('2027-02-08T00:00:00Z'))
  t.same(periodAt([trial], at('2027-01-05T00:00:00Z')), {
    startMs: trial.periodStartMs,
    endMs: trial.periodEndMs,
  })
  t.equal(periodAt([trial], trial.periodEndMs), null)
  t.same(periodAt([trial, month], month.periodStartMs), {
    startMs: month.periodStartMs,
    endMs: month.periodEndMs,
  })
})

t.test('what begins later does not count yet', async (t) => {
  const month = payment(at('2027-01-08T00:00:00Z'), at('2027-02-08T00:00:00Z'))
  t.equal(periodAt([month], month.periodStartMs - 1), null)
  t.equal(scheduleOf([], 0), null)
})
