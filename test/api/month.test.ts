import fc from 'fast-check'
import t from 'tap'
import { monthAfter } from '../../src/credits/grants/month.js'

t.test('a month later is the same time of the same day, or of the last day', async (t) => {
  const after = (iso: string) => new Date(monthAfter(Date.parse(iso))).toISOString()
  t.equal(after('2026-01-15T10:20:30.456Z'), '2026-02-15T10:20:30.456Z')
  t.equal(after('2026-01-31T23:59:59.999Z'), '2026-02-28T23:59:59.999Z')
  t.equal(after('2028-01-31T00:00:00.000Z'), '2028-02-29T00:00:00.000Z')
  t.equal(after('2028-02-29T12:00:00.000Z'), '2028-03-29T12:00:00.000Z')
  t.equal(after('2026-03-31T12:00:00.000Z'), '2026-04-30T12:00:00.000Z')
  t.equal(after('2026-12-31T12:00:00.000Z'), '2027-01-31T12:00:00.000Z')
})

t.test('a month is never shorter than 28 days nor longer than 31', async (t) => {
  const min = new Date('1970-01-01T00:00:00Z')
  const max = new Date('9000-01-01T00:00:00Z')
  fc.assert(
    fc.property(fc.date({ min, max, noInvalidDate: true }), (date) => {
      const days = (monthAfter(date.getTime()) - date.getTime()) / 86_400_000
      return Number.isInteger(days) && days >= 28 && days <= 31
    }),
  )
  t.pass()
})
