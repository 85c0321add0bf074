import fc from 'fast-check'
import t from 'tap'
import { isAnniversary, monthAt, monthsAfter } from '../../src/plans/calendar.js'

const RUNS = 10_000
const iso = (ms: number) => new Date(ms).toISOString()
const at = (text: string) => Date.parse(text)

const anchors = fc.date({
  min: new Date('1999-01-01T00:00:00Z'),
  max: new Date('2099-12-31T23:59:59.999Z'),
  noInvalidDate: true,
})
const months = fc.integer({ min: 0, max: 600 })

t.test('the day is clamped to the last of the month and comes back', async (t) => {
  const anchor = at('2027-01-31T10:20:30.456Z')
  const dates = [0, 1, 2, 3, 13].map((n) => iso(monthsAfter(anchor, n)))
  t.same(dates, [
    '2027-01-31T10:20:30.456Z',
    '2027-02-28T10:20:30.456Z',
    '2027-03-31T10:20:30.456Z',
    '2027-04-30T10:20:30.456Z',
    '2028-02-29T10:20:30.456Z',
  ])
  t.equal(iso(monthsAfter(at('2028-02-29T00:00:00Z'), 12)), '2029-02-28T00:00:00.000Z')
  t.equal(iso(monthsAfter(at('2026-12-31T23:59:59.999Z'), 2)), '2027-02-28T23:59:59.999Z')
})

/** Another way to the same: day by day. */
const slowMonthsAfter = (anchorMs: number, n: number): number => {
  const anchor = new Date(anchorMs)
  const target = anchor.getUTCFullYear() * 12 + anchor.getUTCMonth() + n
  const [year, month] = [Math.floor(target / 12), target % 12]
  for (let day = anchor.getUTCDate(); ; day -= 1) {
    const date = new Date(anchorMs)
    date.setUTCFullYear(year, month, day)
    if (date.getUTCMonth() === month) return date.getTime()
  }
}

t.test('anniversaries are those that a plain calendar gives', async () => {
  const property = fc.property(anchors, months, (anchor, n) => {
    const ms = monthsAfter(anchor.getTime(), n)
    return ms === slowMonthsAfter(anchor.getTime(), n) && isAnniversary(anchor.getTime(), ms)
  })
  fc.assert(property, { numRuns: RUNS })
})

t.test('periods follow one another without a gap, and every instant lies in one', async () => {
  const offsets = fc.integer({ min: 0, max: 50 * 366 * 86_400_000 })
  const property = fc.property(anchors, offsets, (anchor, offset) => {
    const anchorMs = anchor.getTime()
    const instant = anchorMs + offset
    const period = monthAt(anchorMs, instant)
    const next = monthAt(anchorMs, period.endMs)
    const days = (period.endMs - period.startMs) / 86_400_000
    return (
      period.startMs <= instant &&
      instant < period.endMs &&
      next.startMs === period.endMs &&
      monthAt(anchorMs, period.endMs - 1).startMs === period.startMs &&
      days >= 28 &&
      days <= 31
    )
  })
  fc.assert(property, { numRuns: RUNS })
})

t.test('an instant that is no anniversary is not taken for one', async (t) => {
  const anchor = at('2027-01-31T10:00:00Z')
  t.equal(isAnniversary(anchor, at('2027-03-28T10:00:00Z')), false)
  t.equal(isAnniversary(anchor, at('2027-03-31T10:00:00.001Z')), false)
  t.equal(isAnniversary(anchor, anchor), true)
})
