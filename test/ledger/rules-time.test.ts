import t from 'tap'
import { emptyAccount, settled } from '../../src/ledger/rules.js'
import {
  adjust,
  capture,
  charge,
  close,
  createStory,
  figures,
  grant,
  hold,
  receive,
  refund,
  release,
  START_MS,
  send,
  sweep,
} from './story.js'

const at = (ms: number) => ({ expiresAtMs: START_MS + ms })
const MOST = Number.MAX_SAFE_INTEGER

t.test('a due lot leaves by a row before any decision, and a read shows it gone', async (t) => {
  const ann = createStory()
  ann.does(grant(10, at(100)))
  ann.does(grant(5))
  ann.nowMs += 99
  t.strictSame(figures(ann.now), [15, 0, 0])
  ann.nowMs += 1
  t.strictSame(figures(ann.now), [5, 0, 0], 'from its instant on')
  t.strictSame(ann.does(charge(1)), ['expire -10: #1 -10', 'charge -1: #2 -1'])
})

t.test('a read changes nothing', async (t) => {
  const ann = createStory()
  ann.does(grant(10, at(100)))
  ann.nowMs += 100
  const before = ann.books
  t.equal(ann.now.seq, 2, 'as if the row were there')
  t.equal(ann.books, before)
  t.strictSame(ann.does(sweep), ['expire -10: #1 -10'])
})

t.test(
  'lots leave in the order of their ends; those of one instant as they burn down',
  async (t) => {
    const ann = createStory()
    ann.does(grant(1, { ...at(30), priority: 1 }))
    ann.does(grant(2, { ...at(20), priority: 9 }))
    ann.does(grant(3, { ...at(20), priority: 5 }))
    ann.does(grant(4, { ...at(20), priority: 9 }))
    ann.nowMs += 1000
    t.strictSame(ann.does(sweep), [
      'expire -3: #3 -3',
      'expire -2: #2 -2',
      'expire -4: #4 -4',
      'expire -1: #1 -1',
    ])
  },
)

t.test(
  'what is past when it is granted is granted and expires in the same operation',
  async (t) => {
    const ann = createStory()
    t.strictSame(ann.does(grant(5, at(0))), ['grant 5: #1 5', 'expire -5: #1 -5'])
  },
)

t.test('a sweep with nothing due writes nothing', async (t) => {
  const ann = createStory()
  ann.does(grant(5, at(10)))
  t.strictSame(ann.does(sweep), [])
})

t.test('grant 100 at debt 30: a grant of 100, then a debt payment of 30', async (t) => {
  const ann = createStory()
  ann.owes(30)
  t.strictSame(ann.does(grant(100)), ['grant 100: #1 100', 'debt_payment -30: #1 -30'])
  t.match(ann.rows[0], { debtAfter: 30, balanceAfter: 100 })
  t.match(ann.rows[1], { debtAfter: 0, balanceAfter: 70 })
})

t.test('a debt that is larger than what comes in takes all of it', async (t) => {
  const ann = createStory()
  ann.owes(30)
  t.strictSame(ann.does(grant(20)), ['grant 20: #1 20', 'debt_payment -20: #1 -20'])
  t.strictSame(figures(ann.now), [0, 0, 10])
  t.strictSame(ann.refuses(charge(1)).fields, { required: 1, available: 0 })
})

t.test('every inflow pays debt first', async (t) => {
  const part = { amount: 10, source: 'bonus', priority: 50, expiresAtMs: null } as const
  const inflows = {
    grant: grant(10),
    refund: refund(2, 10),
    adjustment: adjust(10),
    transfer_in: receive([part]),
    transfer_return: receive([part], 'transfer_return'),
    release: release(3),
    capture: capture(3, 10),
    close,
  }
  for (const [name, ask] of Object.entries(inflows)) {
    const ann = createStory()
    ann.does(grant(40))
    ann.does(charge(20))
    ann.does(hold(20))
    ann.owes(4)
    const rows = ann.does(ask)
    t.match(rows[0], new RegExp(`^${name === 'close' ? 'release' : name} `))
    t.match(rows[1], /^debt_payment -4: /, name)
    t.equal(ann.now.debt, 0)
  }
})

t.test('a hold that is over pays debt with what it gives back', async (t) => {
  const ann = createStory()
  ann.does(grant(20))
  ann.does(hold(20, 10))
  ann.owes(4)
  ann.nowMs += 10
  t.strictSame(figures(ann.now), [16, 0, 0])
  t.strictSame(ann.does(sweep), ['hold_expire 0: #1 20', 'debt_payment -4: #1 -4'])
})

t.test(
  'credits that came free and then expired had paid debt in between, swept or not',
  async (t) => {
    for (const sweptAt of [[10, 20], [20]]) {
      const ann = createStory()
      ann.does(grant(20, at(15)))
      ann.does(hold(20, 10))
      ann.owes(4)
      const rows = sweptAt.flatMap((ms) => {
        ann.nowMs = START_MS + ms
        return ann.does(sweep)
      })
      t.strictSame(rows, ['hold_expire 0: #1 20', 'debt_payment -4: #1 -4', 'expire -16: #1 -16'])
    }
  },
)

t.test('expired credits pay no debt', async (t) => {
  const ann = createStory()
  ann.does(grant(10, at(5)))
  ann.does(charge(10))
  ann.owes(4)
  ann.nowMs += 5
  t.strictSame(ann.does(refund(2)), ['refund 10: #1 10', 'expire -10: #1 -10'])
  t.strictSame(figures(ann.now), [0, 0, 4])
})

t.test('a balance goes up to 2^53-1 and not beyond, whatever comes in', async (t) => {
  const ann = createStory()
  ann.does(grant(10))
  ann.does(charge(10))
  ann.does(grant(MOST - 5))
  ann.does(hold(MOST - 5))
  const part = { amount: 6, source: 'bonus', priority: 50, expiresAtMs: null } as const
  for (const ask of [grant(6), grant(MOST), refund(2, 6), adjust(6), receive([part])]) {
    const refusal = ann.refuses(ask)
    t.equal(refusal.code, 'limit_exceeded', `${ask.kind}: what is held counts too`)
    t.strictSame(refusal.fields, { limit: MOST })
  }
  t.strictSame(ann.does(refund(2, 5)), ['refund 5: #1 5'])
  t.strictSame(figures(ann.now), [MOST, MOST - 5, 0])
  ann.does(capture(4))
  t.strictSame(figures(ann.now), [5, 0, 0])
})

t.test('all of 2^53-1 credits can be spent at once', async (t) => {
  const ann = createStory()
  ann.does(grant(MOST - 1))
  ann.does(grant(1))
  t.strictSame(ann.does(charge(MOST)), [`charge ${-MOST}: #1 ${1 - MOST}, #2 -1`])
})

/** An account with so many lots of one credit, made at once. */
const lots = (count: number) =>
  receive(
    Array.from({ length: count }, () => ({
      amount: 1,
      source: 'bonus',
      priority: 50,
      expiresAtMs: null,
    })),
  )

t.test(
  'an account has at most 1,000 live lots; due, spent and revoked ones do not count',
  async (t) => {
    const ann = createStory()
    ann.does(grant(1, at(10)))
    ann.does(lots(999))
    const refusal = ann.refuses(grant(1))
    t.equal(refusal.code, 'limit_exceeded')
    t.strictSame(refusal.fields, { limit: 1000 })
    t.equal(ann.refuses(adjust(1)).code, 'limit_exceeded')
    ann.nowMs += 10
    t.strictSame(ann.does(grant(1)), ['expire -1: #1 -1', 'grant 1: #1002 1'])
    ann.does(charge(2))
    t.equal(ann.refuses(lots(3)).code, 'limit_exceeded', 'all of a transfer, or nothing')
    ann.does(lots(2))
    t.equal(ann.now.lots.length, 1000)
  },
)

t.test('a refund, or a transfer that comes back, is not lost to the limit of lots', async (t) => {
  const ann = createStory()
  ann.does(grant(5))
  ann.does(charge(2))
  ann.does(send(3))
  ann.does(lots(1000))
  t.strictSame(ann.does(refund(2)), ['refund 2: #1 2'])
  const part = { amount: 3, source: 'purchased', priority: 50, expiresAtMs: null } as const
  t.strictSame(ann.does(receive([part], 'transfer_return')), ['transfer_return 3: #1005 3'])
  t.equal(ann.now.lots.length, 1002)
})

t.test('an account has at most 1,000 active holds; those that are over do not count', async (t) => {
  const ann = createStory()
  ann.does(grant(10_000))
  ann.does(hold(1, 10))
  for (let n = 0; n < 999; n += 1) ann.does(hold(1))
  const refusal = ann.refuses(hold(1))
  t.equal(refusal.code, 'limit_exceeded')
  t.strictSame(refusal.fields, { limit: 1000 })
  ann.nowMs += 10
  t.strictSame(ann.does(hold(1)), ['hold_expire 0: #1 1', 'hold 0: #1 1'])
})

t.test('an empty account has nothing that could be due', async (t) => {
  const empty = emptyAccount('ann', START_MS)
  t.strictSame(settled(empty, START_MS + 1e9), empty)
})
