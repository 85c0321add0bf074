import t from 'tap'
import { AppError } from '../../src/errors.js'
import {
  capture,
  charge,
  createStory,
  extend,
  figures,
  freezing,
  grant,
  hold,
  join,
  price,
  release,
  revoke,
  START_MS,
  sweep,
} from './story.js'

/** 100 credits of one grant, 40 of them held (row 2) for a second. */
function holding() {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(hold(40, 1000))
  return ann
}

t.test('a hold leaves the balance and takes from what is available', async (t) => {
  const ann = holding()
  t.match(ann.rows[1], { type: 'hold', amount: 0, balanceAfter: 100, heldAfter: 40 })
  t.strictSame(ann.rows[1]?.detail, { amountHeld: 40, expiresAtMs: START_MS + 1000 })
  t.strictSame(ann.refuses(charge(61)).fields, { required: 61, available: 60 })
  t.strictSame(ann.refuses(hold(61)).fields, { required: 61, available: 60 })
})

t.test('twenty holds of 75 on 500 credits: six succeed', async (t) => {
  const ann = createStory()
  ann.does(grant(500))
  for (let n = 0; n < 6; n += 1) ann.does(hold(75))
  for (let n = 0; n < 14; n += 1) t.equal(ann.refuses(hold(75)).code, 'insufficient_credits')
  t.strictSame(figures(ann.now), [500, 450, 0])
})

t.test('a capture takes the whole hold unless told otherwise', async (t) => {
  const ann = holding()
  t.strictSame(ann.does(capture(2)), ['capture -40: #1 -40'])
  t.strictSame(figures(ann.now), [60, 0, 0])
  t.match(ann.hold(2), { status: 'captured', captured: 40, settledSeq: 3 })
})

t.test('a smaller capture releases the rest', async (t) => {
  const ann = holding()
  t.strictSame(ann.does(capture(2, 15)), ['capture -15: #1 -15'])
  t.match(ann.rows.at(-1), { heldAfter: 0, detail: { holdSeq: 2, amountHeld: 40 } })
  t.strictSame(figures(ann.now), [85, 0, 0])
  t.strictSame(ann.does(charge(85)), ['charge -85: #1 -85'])
})

t.test('a capture of 0 releases all, with a row of amount 0', async (t) => {
  const ann = holding()
  t.strictSame(ann.does(capture(2, 0)), ['capture 0'])
  t.match(ann.hold(2), { status: 'captured', captured: 0 })
  t.strictSame(figures(ann.now), [100, 0, 0])
})

t.test('a capture above the hold takes available credits too', async (t) => {
  const ann = holding()
  t.strictSame(ann.does(capture(2, 100)), ['capture -100: #1 -100'], 'one grant is shown once')
  t.match(ann.hold(2), { status: 'captured', amount: 40, captured: 100 })
})

t.test('a capture above all there is: 402, and the hold stays', async (t) => {
  const ann = holding()
  ann.does(charge(30))
  const refusal = ann.refuses(capture(2, 71))
  t.equal(refusal.code, 'insufficient_credits')
  t.strictSame(refusal.fields, { required: 71, available: 70 })
  t.equal(ann.hold(2).status, 'active')
  t.strictSame(ann.does(capture(2, 70)), ['capture -70: #1 -70'])
})

t.test(
  'a capture takes first what was reserved first, whatever burns down sooner now',
  async (t) => {
    const ann = createStory()
    ann.does(grant(10, { priority: 50 }))
    ann.does(grant(10, { priority: 60 }))
    ann.does(hold(15))
    ann.does(grant(10, { priority: 1 }))
    t.strictSame(ann.does(capture(3, 12)), ['capture -12: #1 -10, #2 -2'])
  },
)

t.test('above the hold a capture burns down in the usual order', async (t) => {
  const ann = createStory()
  ann.does(grant(10, { priority: 50 }))
  ann.does(grant(10, { priority: 60 }))
  ann.does(hold(12))
  ann.does(grant(10, { priority: 1 }))
  t.strictSame(ann.does(capture(3, 25)), ['capture -25: #1 -10, #2 -5, #4 -10'])
})

t.test('a hold is settled once', async (t) => {
  const asks = [capture(2), capture(2, 0), release(2), extend(2, 5000)]
  const ends = [
    ['captured', capture(2)],
    ['released', release(2)],
  ] as const
  for (const [holdStatus, end] of ends) {
    const ann = holding()
    ann.does(end)
    for (const ask of asks) {
      const refusal = ann.refuses(ask)
      t.equal(refusal.code, 'hold_not_active', `${ask.kind} when ${holdStatus}`)
      t.strictSame(refusal.fields, { holdStatus })
    }
  }
})

t.test('what is no hold of the account is not found', async (t) => {
  const ann = holding()
  for (const ask of [capture(1), release(1), extend(99, 5)]) {
    t.equal(ann.refuses(ask).code, 'hold_not_found')
  }
})

t.test('from the deadline on a hold is over, swept or not', async (t) => {
  for (const isSwept of [false, true]) {
    const ann = holding()
    ann.nowMs += 1000
    if (isSwept) t.strictSame(ann.does(sweep), ['hold_expire 0: #1 40'])
    t.strictSame(figures(ann.now), [100, 0, 0])
    for (const ask of [capture(2), capture(2, 0), release(2), extend(2, 5000)]) {
      t.equal(ann.refuses(ask).code, 'hold_not_active', `${ask.kind}, swept: ${isSwept}`)
      t.strictSame(ann.refuses(ask).fields, { holdStatus: 'expired' })
    }
    t.strictSame(ann.does(charge(100)).at(-1), 'charge -100: #1 -100', 'its credits are free')
    t.match(ann.hold(2), { status: 'expired', captured: 0, settledSeq: 3 })
  }
})

t.test('until its deadline a hold can be captured', async (t) => {
  const ann = holding()
  ann.nowMs += 999
  t.strictSame(ann.does(capture(2)), ['capture -40: #1 -40'])
})

t.test('a release gives all back, into the lots it came from', async (t) => {
  const ann = createStory()
  ann.does(grant(10, { priority: 2 }))
  ann.does(grant(10, { priority: 1 }))
  ann.does(hold(15))
  t.strictSame(ann.does(release(3)), ['release 0: #2 10, #1 5'])
  t.match(ann.rows.at(-1), { heldAfter: 0, detail: { holdSeq: 3, amountHeld: 15 } })
  t.strictSame(ann.does(charge(20)), ['charge -20: #2 -10, #1 -10'])
})

t.test('an extension counts from now, and never makes the deadline earlier', async (t) => {
  const ann = holding()
  ann.nowMs += 500
  ann.does(extend(2, 400))
  t.equal(ann.hold(2).expiresAtMs, START_MS + 1000)
  ann.does(extend(2, 2000))
  t.equal(ann.hold(2).expiresAtMs, START_MS + 2500)
  t.match(ann.rows.at(-1), { type: 'extend', amount: 0, heldAfter: 40 })
  ann.nowMs = START_MS + 2499
  t.strictSame(ann.does(capture(2)), ['capture -40: #1 -40'])
})

t.test('extending one hold leaves the order of the holds', async (t) => {
  const ann = holding()
  ann.does(hold(5, 1000))
  ann.does(extend(2, 1000))
  t.strictSame(
    ann.now.holds.map((held) => held.holdSeq),
    [2, 3],
  )
})

t.test('held credits do not expire; when they come free they do, at once', async (t) => {
  const ann = createStory()
  ann.does(grant(100, { expiresAtMs: START_MS + 500 }))
  ann.does(hold(40, 1000))
  ann.does(hold(10, 2000))
  ann.nowMs += 500
  t.strictSame(ann.does(sweep), ['expire -50: #1 -50'])
  t.strictSame(figures(ann.now), [50, 50, 0])
  t.strictSame(ann.does(capture(2, 25)), ['capture -25: #1 -25', 'expire -15: #1 -15'])
  t.strictSame(ann.does(release(3)), ['release 0: #1 10', 'expire -10: #1 -10'])
  t.strictSame(figures(ann.now), [0, 0, 0])
})

t.test('expired credits of its own hold are captured, others are not', async (t) => {
  const ann = createStory()
  ann.does(grant(100, { expiresAtMs: START_MS + 500 }))
  ann.does(hold(40, 1000))
  ann.nowMs += 500
  t.strictSame(ann.refuses(capture(2, 41)).fields, { required: 41, available: 40 })
  t.strictSame(ann.does(capture(2)), ['expire -60: #1 -60', 'capture -40: #1 -40'])
})

t.test('a frozen account captures within its hold, and not above', async (t) => {
  const ann = holding()
  ann.does(freezing)
  t.equal(ann.refuses(capture(2, 41)).code, 'account_frozen')
  t.strictSame(ann.does(capture(2, 39)), ['capture -39: #1 -39'])
})

t.test('a capture is priced with the action of its hold and the tier of the moment', async (t) => {
  const ann = holding()
  const asked: unknown[] = []
  ann.does(join('pro', null))
  ann.does({
    kind: 'capture',
    holdSeq: 2,
    quote: (...context) => {
      asked.push(context)
      return { amount: 7, detail: { tokens: 70 } }
    },
  })
  t.strictSame(asked, [['pro', 'draw']])
  t.match(ann.rows.at(-1), { action: 'draw', amount: -7, detail: { tokens: 70, holdSeq: 2 } })
})

t.test('a price that can not be had leaves the hold as it was', async (t) => {
  const ann = holding()
  const quote = () => {
    throw new AppError('missing_variable', 'tokens')
  }
  t.equal(ann.refuses({ kind: 'capture', holdSeq: 2, quote }).code, 'missing_variable')
  t.strictSame(ann.does(capture(2)), ['capture -40: #1 -40'])
})

t.test('an error of the price list itself is no refusal', async (t) => {
  const ann = holding()
  const quote = () => {
    throw new TypeError('broken')
  }
  t.throws(() => ann.does(charge(0, quote)), TypeError)
})

t.test('a hold on a lot that was revoked meanwhile can still be captured', async (t) => {
  const ann = holding()
  ann.does(revoke(1))
  t.strictSame(ann.does({ kind: 'capture', holdSeq: 2, quote: price(40) }), ['capture -40: #1 -40'])
})
