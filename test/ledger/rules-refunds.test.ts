import t from 'tap'
import {
  adjust,
  capture,
  charge,
  createStory,
  figures,
  freezing,
  grant,
  hold,
  receive,
  refund,
  release,
  revoke,
  START_MS,
  sweep,
} from './story.js'

/** Three grants of 10, and a charge of 25 (row 4) that #1 pays first and #3 last. */
function charged() {
  const ann = createStory()
  ann.does(grant(10, { priority: 1, expiresAtMs: START_MS + 1000 }))
  ann.does(grant(10, { priority: 2, expiresAtMs: START_MS + 5000 }))
  ann.does(grant(10, { priority: 3 }))
  ann.does(charge(25))
  return ann
}

t.test('a refund goes into the grants that paid, the last payer first', async (t) => {
  const ann = charged()
  t.strictSame(
    ann.rows.at(-1)?.parts.map((part) => part.amount),
    [-10, -10, -5],
  )
  t.strictSame(ann.does(refund(4, 12)), ['refund 12: #3 5, #2 7'])
})

t.test('several refunds of a charge go on where the one before ended', async (t) => {
  const ann = charged()
  t.strictSame(ann.does(refund(4, 3)), ['refund 3: #3 3'])
  t.strictSame(ann.does(refund(4, 4)), ['refund 4: #3 2, #2 2'])
  t.strictSame(ann.does(refund(4, 8)), ['refund 8: #2 8'])
  t.strictSame(ann.does(refund(4, 9)), ['refund 9: #1 9'])
  t.strictSame(ann.does(refund(4)), ['refund 1: #1 1'])
  t.strictSame(figures(ann.now), [30, 0, 0])
})

t.test('credits spent in between change nothing about where a refund goes', async (t) => {
  const ann = charged()
  ann.does(refund(4, 7))
  ann.does(charge(9))
  t.strictSame(ann.does(refund(4, 9)), ['refund 9: #2 8, #1 1'])
})

t.test('the refunds of a charge never exceed it', async (t) => {
  const ann = charged()
  t.strictSame(ann.refuses(refund(4, 26)).fields, { refundable: 25 })
  ann.does(refund(4, 20))
  const refusal = ann.refuses(refund(4, 6))
  t.equal(refusal.code, 'refund_exceeds_charge')
  t.strictSame(refusal.fields, { refundable: 5 })
  t.strictSame(ann.does(refund(4)), ['refund 5: #1 5'], 'without an amount: all that is left')
  t.strictSame(ann.refuses(refund(4)).fields, { refundable: 0 })
  t.strictSame(ann.refuses(refund(4, 1)).fields, { refundable: 0 })
})

t.test('a refund names its charge, and is of its action', async (t) => {
  const ann = charged()
  ann.does({ kind: 'refund', chargeSeq: 4, amount: 2, reason: 'sorry' })
  t.match(ann.rows.at(-1), { action: 'draw', detail: { chargeSeq: 4, reason: 'sorry' } })
  t.strictSame(ann.books.refunds, [{ chargeSeq: 4, refundSeq: 5, amount: 2 }])
})

t.test('into an expired lot: credited, then expired in the same operation', async (t) => {
  const ann = charged()
  ann.nowMs += 1000
  t.strictSame(ann.does(refund(4)), ['refund 25: #3 5, #2 10, #1 10', 'expire -10: #1 -10'])
  t.strictSame(figures(ann.now), [20, 0, 0])
  t.match(ann.lot(1), { remaining: 0, amount: 10 })
})

t.test('into a revoked lot: credited, then revoked in the same operation', async (t) => {
  const ann = charged()
  ann.does(revoke(3))
  ann.does(revoke(1))
  t.strictSame(ann.does(refund(4)), [
    'refund 25: #3 5, #2 10, #1 10',
    'revoke -10: #1 -10',
    'revoke -5: #3 -5',
  ])
  t.strictSame(figures(ann.now), [10, 0, 0])
})

t.test(
  'into a lot of which a hold has the rest: what is held stays, the refund goes',
  async (t) => {
    const ann = createStory()
    ann.does(grant(10))
    ann.does(charge(4))
    ann.does(hold(6))
    ann.does(revoke(1))
    t.strictSame(ann.does(refund(2)), ['refund 4: #1 4', 'revoke -4: #1 -4'])
    t.strictSame(figures(ann.now), [6, 6, 0])
  },
)

t.test('a lot that a refund revives takes its old place in the burn-down', async (t) => {
  const ann = charged()
  ann.does(refund(4))
  t.strictSame(ann.does(charge(30)), ['charge -30: #1 -10, #2 -10, #3 -10'])
})

t.test('a capture is refunded like a charge, also what it took above its hold', async (t) => {
  const ann = createStory()
  ann.does(grant(10, { priority: 2 }))
  ann.does(hold(6))
  ann.does(grant(10, { priority: 1 }))
  t.strictSame(ann.does(capture(2, 19)), ['capture -19: #1 -9, #3 -10'])
  t.strictSame(ann.does(refund(4, 12)), ['refund 12: #3 10, #1 2'])
  t.strictSame(ann.does(refund(4)), ['refund 7: #1 7'])
  t.strictSame(ann.refuses(refund(4, 1)).fields, { refundable: 0 })
})

t.test('only charges and captures can be refunded', async (t) => {
  const ann = createStory()
  ann.does(grant(10))
  ann.does(hold(5))
  ann.does(release(2))
  ann.does(adjust(-5))
  ann.does(charge(1))
  ann.does(refund(5))
  for (const seq of [1, 2, 3, 4, 6, 7, 99]) {
    t.equal(ann.refuses(refund(seq)).code, 'transaction_not_found', `row ${seq}`)
  }
})

t.test('of a free charge nothing can be refunded', async (t) => {
  const ann = createStory()
  ann.does(charge(0))
  const { fields } = ann.refuses(refund(1))
  t.ok(Object.is(fields.refundable, 0), 'which is 0, not -0')
})

t.test('a lot as it was before it was spent gives no credits to a refund', async (t) => {
  const ann = createStory()
  ann.does(grant(10))
  const { lots } = ann.books
  ann.does(charge(10))
  t.strictSame(ann.does(refund(2, 4), { lots }), ['refund 4: #1 4'])
  t.strictSame(figures(ann.now), [4, 0, 0])
})

t.test('a grant is revoked once; spent or not, live or not', async (t) => {
  const ann = createStory()
  ann.does(grant(10))
  ann.does(grant(10, { expiresAtMs: START_MS + 5 }))
  ann.does(charge(4))
  t.strictSame(ann.does(revoke(1)), ['revoke -10: #1 -10'])
  t.equal(ann.refuses(revoke(1)).code, 'grant_revoked')
  ann.nowMs += 5
  t.strictSame(ann.does(revoke(2)), ['expire -6: #2 -6', 'revoke 0'])
  t.ok(Object.is(ann.rows.at(-1)?.amount, 0))
  t.equal(ann.refuses(revoke(2)).code, 'grant_revoked')
  t.equal(ann.refuses(revoke(3)).code, 'grant_not_found', 'a charge is no grant')
})

t.test('held credits are not revoked: they leave when they come free', async (t) => {
  const ann = createStory()
  ann.does(grant(10))
  ann.does(hold(6))
  t.strictSame(ann.does(revoke(1)), ['revoke -4: #1 -4'])
  t.strictSame(figures(ann.now), [6, 6, 0])
  t.strictSame(ann.does(sweep), [])
  t.strictSame(ann.does(capture(2, 4)), ['capture -4: #1 -4', 'revoke -2: #1 -2'])
  t.strictSame(figures(ann.now), [0, 0, 0])
})

t.test('a frozen account takes refunds', async (t) => {
  const ann = charged()
  ann.does(freezing)
  t.strictSame(ann.does(refund(4, 1)), ['refund 1: #3 1'])
})

t.test('what was transferred away is no charge', async (t) => {
  const ann = createStory()
  const part = { amount: 3, source: 'bonus', priority: 50, expiresAtMs: null } as const
  ann.does(receive([part]))
  ann.does({ kind: 'transfer_out', to: 'bob', amount: 3 })
  t.equal(ann.refuses(refund(2)).code, 'transaction_not_found')
})
