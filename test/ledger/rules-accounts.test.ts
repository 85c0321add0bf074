import t from 'tap'
import { AppError } from '../../src/errors.js'
import type { Quote } from '../../src/ledger/model.js'
import { decide } from '../../src/ledger/rules.js'
import { contextOf, emptyBooks } from './model-books.js'
import {
  adjust,
  capture,
  charge,
  close,
  createStory,
  extend,
  figures,
  freezing,
  grant,
  hold,
  join,
  open,
  receive,
  refund,
  release,
  revoke,
  START_MS,
  send,
  sweep,
  unfreezing,
} from './story.js'

t.test('an account is opened once: the signup bonus comes once', async (t) => {
  const ann = createStory(open(25))
  t.strictSame(ann.rows.length, 1)
  t.strictSame(ann.does(open(25)), [])
  t.strictSame(figures(ann.now), [25, 0, 0])
  t.match(ann.lot(1), { source: 'bonus', expiresAtMs: null })
})

t.test(
  'opening again answers with the account as it is now, what is due having left',
  async (t) => {
    const ann = createStory()
    ann.does(grant(10, { expiresAtMs: START_MS + 5 }))
    ann.nowMs += 5
    t.strictSame(ann.does(open(0)), ['expire -10: #1 -10'])
  },
)

t.test('an account that was never opened is not found', async (t) => {
  const request = { accountId: 'eve', key: 'k', digest: 'd', actor: 'a', requestId: null } as const
  const ask = { ...request, metadata: null, kind: 'sweep' } as const
  const decision = decide(null, ask, contextOf(emptyBooks()), START_MS)
  t.match(decision, { isApplied: false, error: { code: 'account_not_found' } })
})

t.test(
  'an expired membership is none, for access and for price, from its instant on',
  async (t) => {
    const quote: Quote = (tier) => {
      if (tier === null) throw new AppError('membership_required', 'for members')
      return { amount: tier === 'pro' ? 1 : 5, detail: { tier } }
    }
    const ann = createStory(open(100))
    t.equal(ann.refuses(charge(0, quote)).code, 'membership_required')
    ann.does(join('pro', START_MS + 1000))
    ann.nowMs += 999
    t.strictSame(ann.does(charge(0, quote)), ['charge -1: #1 -1'])
    ann.nowMs += 1
    t.equal(ann.refuses(charge(0, quote)).code, 'membership_required')
    ann.does(join('basic', null))
    t.strictSame(ann.does(charge(0, quote)), ['charge -5: #1 -5'])
    t.strictSame(ann.rows.at(-1)?.detail, { tier: 'basic' })
  },
)

t.test('a change of tier touches no credits', async (t) => {
  const ann = createStory(open(100))
  t.strictSame(ann.does(join('pro', null)), [])
  t.strictSame(ann.does(join(null, null)), [])
  t.strictSame(figures(ann.now), [100, 0, 0])
})

t.test('a frozen account spends nothing, but takes credits and settles its holds', async (t) => {
  const ann = createStory(open(100))
  ann.does(hold(10))
  ann.does(hold(10))
  ann.does(charge(10))
  ann.does(freezing)
  for (const ask of [charge(1), charge(0), hold(1), extend(2, 1), send(1), capture(2, 11)]) {
    t.equal(ann.refuses(ask).code, 'account_frozen', ask.kind)
  }
  for (const ask of [grant(5), refund(4), capture(2, 10), release(3), adjust(-1), revoke(1)]) {
    t.ok(ann.does(ask).length > 0, ask.kind)
  }
  ann.does(unfreezing)
  t.strictSame(ann.does(charge(1)), ['charge -1: #5 -1'])
})

t.test('closing releases all holds and ends the account', async (t) => {
  const ann = createStory(open(100))
  ann.does(hold(10))
  ann.does(hold(20))
  t.strictSame(ann.does(close), ['release 0: #1 10', 'release 0: #1 20'])
  t.strictSame(figures(ann.now), [100, 0, 0])
  t.equal(ann.hold(3).status, 'released')
  const asks = [open(1), grant(1), charge(1), hold(1), release(2), freezing, join('pro', null)]
  for (const ask of asks) t.equal(ann.refuses(ask).code, 'account_closed', ask.kind)
  t.strictSame(ann.does(close), [], 'closing again is no error')
})

t.test('an account that is closed only when empty stays open over any credit', async (t) => {
  const ann = createStory(open(10))
  const ask = { ...close, ifEmpty: true }
  ann.does(hold(10))
  t.strictSame(ann.does(ask), [], 'what is held is there too')
  t.equal(ann.now.status, 'active')
  ann.does(capture(2, 9))
  t.strictSame(ann.does(ask), [])
  t.equal(ann.now.status, 'active')
  ann.does(charge(1))
  ann.does(ask)
  t.equal(ann.now.status, 'closed')
})

t.test(
  'on a closed account lots still expire and a failed transfer still comes back',
  async (t) => {
    const ann = createStory()
    ann.does(grant(10, { expiresAtMs: START_MS + 5 }))
    ann.does(close)
    ann.nowMs += 5
    t.strictSame(ann.does(sweep), ['expire -10: #1 -10'])
    const part = { amount: 3, source: 'bonus', priority: 50, expiresAtMs: null } as const
    t.equal(ann.refuses(receive([part])).code, 'account_closed')
    t.strictSame(ann.does(receive([part], 'transfer_return')), ['transfer_return 3: #3 3'])
  },
)
