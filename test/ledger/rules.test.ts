import t from 'tap'
import type { Quote } from '../../src/ledger/model.js'
import {
  adjust,
  capture,
  charge,
  createStory,
  figures,
  freezing,
  grant,
  hold,
  join,
  open,
  price,
  receive,
  refund,
  START_MS,
  send,
  sweep,
  unfreezing,
} from './story.js'

t.test('credits burn down by priority, then soonest expiry (none last), then oldest', async (t) => {
  const ann = createStory()
  ann.does(grant(10, { priority: 50 }))
  ann.does(grant(10, { priority: 50, expiresAtMs: START_MS + 2000 }))
  ann.does(grant(10, { priority: 50, expiresAtMs: START_MS + 1000 }))
  ann.does(grant(10, { priority: 90, expiresAtMs: START_MS + 500 }))
  ann.does(grant(10, { priority: 10 }))
  ann.does(grant(10, { priority: 50, expiresAtMs: START_MS + 2000 }))
  ann.does(grant(10, { priority: 50 }))
  t.strictSame(ann.does(charge(65)), [
    'charge -65: #5 -10, #3 -10, #2 -10, #6 -10, #1 -10, #7 -10, #4 -5',
  ])
})

t.test('a charge may spend exactly what is available, and not one credit more', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(hold(40))
  const refusal = ann.refuses(charge(61))
  t.equal(refusal.code, 'insufficient_credits')
  t.strictSame(refusal.fields, { required: 61, available: 60 })
  t.strictSame(ann.does(charge(60)), ['charge -60: #1 -60'])
  t.strictSame(figures(ann.now), [40, 40, 0])
})

t.test('a price of 0 leaves a row with amount 0, also without any credits', async (t) => {
  const ann = createStory()
  t.strictSame(ann.does(charge(0)), ['charge 0'])
  t.ok(Object.is(ann.rows[0]?.amount, 0), 'and it is not -0')
  t.strictSame(ann.does(hold(0)), ['hold 0'])
  t.strictSame(ann.does(capture(2)), ['capture 0'])
  t.ok(Object.is(ann.rows[2]?.amount, 0))
  t.strictSame(figures(ann.now), [0, 0, 0])
})

t.test('the first row of an operation has its key and metadata, no other row has', async (t) => {
  const ann = createStory()
  ann.does(grant(10, { expiresAtMs: START_MS + 5 }))
  ann.does(grant(20))
  ann.does(hold(15, 5))
  ann.does(charge(15))
  ann.owes(4)
  ann.nowMs += 5
  t.strictSame(ann.does(grant(3)), [
    'hold_expire 0: #1 10, #2 5',
    'expire -10: #1 -10',
    'debt_payment -4: #2 -4',
    'grant 3: #8 3',
  ])
  const [first, second, third, own] = ann.rows.slice(-4)
  for (const row of [first, second, third]) {
    t.match(row, { key: null, digest: null, metadata: null, requestId: null, actor: 'system' })
  }
  t.match(own, { key: 'key-6', digest: 'digest-6', metadata: { count: 6 }, actor: 'tester' })
})

t.test('what follows in the same operation is told of the same actor, without a key', async (t) => {
  const ann = createStory()
  ann.does(grant(10, { expiresAtMs: START_MS + 5 }))
  ann.does(charge(10))
  ann.nowMs += 5
  t.strictSame(ann.does(refund(2)), ['refund 10: #1 10', 'expire -10: #1 -10'])
  const [own, after] = ann.rows.slice(-2)
  t.match(own, { key: 'key-4', actor: 'tester', requestId: 'request-4' })
  t.match(after, { key: null, metadata: null, actor: 'tester', requestId: 'request-4' })
})

t.test('rows chain: seq without a gap, each balance the one before plus the amount', async (t) => {
  const ann = createStory(open(5))
  ann.does(grant(10))
  ann.does(charge(12))
  ann.does(refund(3, 4))
  t.strictSame(
    ann.rows.map((row) => [row.seq, row.type, row.amount, row.balanceAfter]),
    [
      [1, 'grant', 5, 5],
      [2, 'grant', 10, 15],
      [3, 'charge', -12, 3],
      [4, 'refund', 4, 7],
    ],
  )
})

t.test('a refused operation has no effect, not even what is due is written', async (t) => {
  const ann = createStory()
  ann.does(grant(10, { expiresAtMs: START_MS + 5 }))
  ann.nowMs += 5
  const before = ann.books
  t.strictSame(ann.refuses(charge(1)).fields, { required: 1, available: 0 })
  t.equal(ann.books, before)
})

t.test('the version rises with every write, and with nothing else', async (t) => {
  const ann = createStory()
  const versions = [ann.now.version]
  for (const ask of [sweep, grant(1), freezing, freezing, unfreezing, join('pro', null), sweep]) {
    ann.does(ask)
    versions.push(ann.now.version)
  }
  t.strictSame(versions, [1, 1, 2, 3, 3, 4, 5, 5])
})

t.test(
  'an adjustment adds a bonus lot, or takes available credits in burn-down order',
  async (t) => {
    const ann = createStory()
    t.strictSame(ann.does(adjust(10)), ['adjustment 10: #1 10'])
    t.match(ann.lot(1), { source: 'bonus', priority: 50, expiresAtMs: null })
    ann.does(grant(10, { priority: 1 }))
    ann.does(hold(4))
    t.strictSame(ann.does(adjust(-7)), ['adjustment -7: #2 -6, #1 -1'])
    t.strictSame(ann.refuses(adjust(-10)).fields, { required: 10, available: 9 })
  },
)

t.test('a transfer keeps source, priority and expiry of each lot', async (t) => {
  const ann = createStory()
  ann.does(grant(10, { source: 'monthly', priority: 10, expiresAtMs: START_MS + 9 }))
  ann.does(grant(10, { source: 'purchased', priority: 70 }))
  t.strictSame(ann.does(send(15)), ['transfer_out -15: #1 -10, #2 -5'])
  const parts = [
    { amount: 10, source: 'monthly', priority: 10, expiresAtMs: START_MS + 9 },
    { amount: 5, source: 'purchased', priority: 70, expiresAtMs: null },
  ] as const
  t.strictSame(ann.pending, [
    { id: 'transfer:3', kind: 'transfer', payload: { from: 'ann', fromSeq: 3, to: 'bob', parts } },
  ])
  const bob = createStory()
  t.strictSame(bob.does(receive(parts)), ['transfer_in 10: #1 10', 'transfer_in 5: #2 5'])
  t.match(bob.lot(1), { source: 'monthly', priority: 10, expiresAtMs: START_MS + 9 })
  t.match(bob.lot(2), { source: 'purchased', priority: 70, expiresAtMs: null })
  t.strictSame(
    bob.rows.map((row) => row.key),
    ['key-2', null],
  )
})

t.test('what expired on its way expires on arrival', async (t) => {
  const bob = createStory()
  const late = { amount: 4, source: 'monthly', priority: 1, expiresAtMs: START_MS } as const
  t.strictSame(bob.does(receive([late])), ['transfer_in 4: #1 4', 'expire -4: #1 -4'])
})

t.test('decisions are never made before the last write, whatever the clock says', async (t) => {
  const ann = createStory(open(10))
  ann.nowMs += 1000
  ann.does(charge(1))
  ann.nowMs -= 400
  ann.does(hold(1, 500))
  t.equal(ann.rows.at(-1)?.createdAtMs, START_MS + 1000)
  t.equal(ann.hold(3).expiresAtMs, START_MS + 1500)
})

t.test('the price is asked once, with the tier of the moment', async (t) => {
  const asked: (string | null)[] = []
  const quote: Quote = (tier) => {
    asked.push(tier)
    return price(3)(tier)
  }
  const ann = createStory(open(10))
  ann.does(charge(0, quote))
  t.strictSame(asked, [null])
})
