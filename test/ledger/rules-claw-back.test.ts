import t from 'tap'
import type { TransferPart } from '../../src/ledger/model.js'
import {
  allocate,
  capture,
  charge,
  clawBack,
  close,
  collect,
  createStory,
  figures,
  freezing,
  grant,
  hold,
  refund,
  release,
  revoke,
  START_MS,
  send,
} from './story.js'

const MAX = Number.MAX_SAFE_INTEGER
const SOON_MS = START_MS + 1000

t.test('a claw-back takes from its grant first, then from the rest as it burns down', async (t) => {
  const ann = createStory()
  ann.does(grant(50, { priority: 1 }))
  ann.does(grant(100))
  ann.does(grant(30, { priority: 10 }))
  ann.does(charge(80))
  ann.does(send(20))
  t.strictSame(ann.does(clawBack(2, 100)), ['claw_back -80: #2 -80'], 'what is there goes')
  ann.does(grant(30))
  t.match(ann.rows.at(-3)?.detail, { grantSeq: 2, target: 100, clawedBack: 100, debt: 20 })
  t.strictSame(figures(ann.now), [10, 0, 0], 'and the next grant pays what was missing')
})

t.test('the rest gives in burn-down order', async (t) => {
  const ann = createStory()
  ann.does(grant(100, { priority: 1 }))
  ann.does(charge(70))
  ann.does(grant(20, { priority: 90 }))
  ann.does(grant(20, { priority: 10 }))
  t.strictSame(ann.does(clawBack(1, 100)), ['claw_back -70: #1 -30, #4 -20, #3 -20'])
  t.strictSame(figures(ann.now), [0, 0, 30])
})

t.test(
  'what was granted elsewhere is collected in burn-down order, and the rest is owed',
  async (t) => {
    const ann = createStory()
    ann.does(grant(30))
    ann.does(grant(20, { priority: 1 }))
    ann.does(hold(10))
    t.strictSame(ann.does(collect(15)), ['claw_back -15: #2 -10, #1 -5'], 'held credits stay')
    t.strictSame(ann.does(collect(40)), ['claw_back -25: #1 -25'])
    t.match(ann.rows.at(-1)?.detail, { clawedBack: 40, debt: 15 })
    t.strictSame(ann.does(collect(5)), ['claw_back 0'], 'a row all the same')
    t.strictSame(figures(ann.now), [10, 10, 20])
  },
)

t.test('targets are absolute: 30 %, 60 % and all of it, in any order and any often', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  t.strictSame(ann.does(clawBack(1, 30)), ['claw_back -30: #1 -30'])
  t.strictSame(ann.does(clawBack(1, 30)), [], 'a repeat under another key')
  t.strictSame(ann.does(clawBack(1, 60)), ['claw_back -30: #1 -30'])
  t.strictSame(ann.does(clawBack(1, 100)), ['claw_back -40: #1 -40'])
  t.strictSame(ann.does(clawBack(1, 100)), [])
  t.strictSame(figures(ann.now), [0, 0, 0])
  t.strictSame(
    ann.books.refunds.map(({ chargeSeq, amount }) => [chargeSeq, amount]),
    [
      [1, 30],
      [1, 30],
      [1, 40],
    ],
  )
})

t.test('what is already spent becomes debt, and the next inflow pays it', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(charge(100))
  t.strictSame(ann.does(clawBack(1, 100)), ['claw_back 0'], 'a row all the same')
  t.match(ann.rows.at(-1), { amount: 0, balanceAfter: 0, debtAfter: 100, detail: { debt: 100 } })
  t.strictSame(ann.does(allocate([part(40)])), ['allocation 40: #4 40', 'debt_payment -40: #4 -40'])
  t.strictSame(figures(ann.now), [0, 0, 60])
})

t.test('held credits are never clawed back; free again they pay the debt', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(hold(70))
  t.strictSame(ann.does(clawBack(1, 100)), ['claw_back -30: #1 -30'])
  t.strictSame(figures(ann.now), [70, 70, 70])
  t.strictSame(ann.does(capture(2, 50)), ['capture -50: #1 -50', 'debt_payment -20: #1 -20'])
  t.strictSame(figures(ann.now), [0, 0, 50])
})

t.test('a lower target gives back: into the grant what came from it', async (t) => {
  const ann = createStory()
  ann.does(grant(100, { source: 'purchased', priority: 20 }))
  ann.does(charge(60))
  ann.does(grant(80))
  t.strictSame(ann.does(clawBack(1, 100)), ['claw_back -100: #1 -40, #3 -60'])
  t.strictSame(ann.does(clawBack(1, 70)), ['reinstate 30: #1 30'])
  t.match(ann.rows.at(-1)?.detail, { grantSeq: 1, target: 70, clawedBack: -30 })
  t.strictSame(ann.does(clawBack(1, 0)), ['reinstate 70: #1 10, #6 60'])
  t.match(ann.lot(6), { source: 'purchased', priority: 20, amount: 60, expiresAtMs: null })
  t.strictSame(figures(ann.now), [120, 0, 0])
  t.strictSame(ann.does(refund(2)), ['refund 60: #1 60'], 'there is room for a refund still')
  t.match(ann.lot(1), { amount: 100, remaining: 100 })
})

t.test('what is reinstated pays the debt that the claw-back made', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(charge(100))
  ann.does(clawBack(1, 100))
  const rows = ann.does(clawBack(1, 0))
  t.strictSame(rows, ['reinstate 100: #4 100', 'debt_payment -100: #4 -100'])
  t.strictSame(figures(ann.now), [0, 0, 0])
})

t.test('what a grant had lapsed of counts first: nobody pays twice for it', async (t) => {
  const revoked = createStory()
  revoked.does(grant(100))
  revoked.does(charge(40))
  revoked.does(grant(500))
  revoked.does(revoke(1))
  t.strictSame(revoked.does(clawBack(1, 60)), ['claw_back 0'], 'an operator took these already')
  t.strictSame(revoked.does(clawBack(1, 100)), ['claw_back -40: #3 -40'], 'these were spent')
  t.strictSame(revoked.does(clawBack(1, 60)), ['reinstate 40: #7 40'])
  t.strictSame(revoked.does(clawBack(1, 0)), ['reinstate 0'], 'what was revoked stays so')

  const expired = createStory()
  expired.does(grant(100, { expiresAtMs: SOON_MS }))
  expired.does(grant(500))
  expired.does(charge(10))
  expired.nowMs = SOON_MS
  t.strictSame(expired.does(clawBack(1, 100)), ['expire -90: #1 -90', 'claw_back -10: #2 -10'])
  t.match(expired.rows.at(-1)?.detail, { clawedBack: 100, debt: 0 })
})

t.test('what lapses after a claw-back counts for the next one', async (t) => {
  const ann = createStory()
  ann.does(grant(100, { expiresAtMs: SOON_MS }))
  ann.does(grant(500))
  ann.does(clawBack(1, 50))
  ann.nowMs = SOON_MS
  t.strictSame(ann.does(clawBack(1, 100)), ['expire -50: #1 -50', 'claw_back 0'])
  t.strictSame(ann.does(clawBack(1, 100)), [])
  t.strictSame(figures(ann.now), [500, 0, 0])
  const back = ann.does(clawBack(1, 20))
  t.strictSame(back, ['reinstate 50: #1 50', 'expire -50: #1 -50'], 'as it would have expired')
})

t.test('what others paid for an expired grant comes back without an end', async (t) => {
  const ann = createStory()
  ann.does(grant(100, { expiresAtMs: SOON_MS, priority: 1 }))
  ann.does(charge(60))
  ann.does(grant(500))
  ann.does(clawBack(1, 100))
  ann.nowMs = SOON_MS
  const rows = ann.does(clawBack(1, 0))
  t.strictSame(rows, ['reinstate 100: #1 40, #5 60', 'expire -40: #1 -40'])
  t.match(ann.lot(5), { remaining: 60, expiresAtMs: null })
})

t.test('credits that were transferred away are spent', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(send(100))
  t.strictSame(ann.does(clawBack(1, 100)), ['claw_back 0'])
  t.strictSame(figures(ann.now), [0, 0, 100])
})

t.test('a frozen account is clawed back from and allocated to; a closed one is not', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(freezing)
  t.strictSame(ann.does(clawBack(1, 40)), ['claw_back -40: #1 -40'])
  t.strictSame(ann.does(clawBack(1, 10)), ['reinstate 30: #1 30'])
  t.strictSame(ann.does(allocate([part(5)])), ['allocation 5: #4 5'])
  ann.does(close)
  t.equal(ann.refuses(clawBack(1, 100)).code, 'account_closed')
  t.equal(ann.refuses(allocate([part(5)])).code, 'account_closed')
})

t.test('a target beyond the grant, or what is no grant, is refused', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(charge(10))
  for (const target of [101, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    const refusal = ann.refuses(clawBack(1, target))
    t.equal(refusal.code, 'limit_exceeded', `${target}`)
    t.strictSame(refusal.fields, { limit: 100 })
  }
  for (const seq of [2, 3, 77]) t.equal(ann.refuses(clawBack(seq, 1)).code, 'grant_not_found')
  ann.does(clawBack(1, 5))
  t.equal(ann.refuses(clawBack(3, 1)).code, 'grant_not_found', 'a claw-back is no grant')
  t.equal(ann.refuses(refund(1)).code, 'transaction_not_found', 'nor a grant a charge')
  t.equal(ann.refuses(refund(3)).code, 'transaction_not_found', 'nor a claw-back')
  t.strictSame(ann.does(refund(2)), ['refund 10: #1 10'])
})

t.test('a debt counts exactly or is refused', async (t) => {
  const ann = createStory()
  ann.does(grant(MAX))
  ann.does(charge(MAX))
  ann.does(grant(10))
  ann.does(charge(10))
  ann.does(clawBack(1, MAX))
  t.strictSame(figures(ann.now), [0, 0, MAX])
  const refusal = ann.refuses(clawBack(3, 1))
  t.equal(refusal.code, 'limit_exceeded')
  t.strictSame(refusal.fields, { limit: MAX })
})

t.test('a balance that would pass 2^53-1 takes nothing back', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(clawBack(1, 100))
  ann.does(grant(MAX))
  t.equal(ann.refuses(clawBack(1, 0)).code, 'limit_exceeded')
})

t.test('what is reinstated is not lost to the limit of lots', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(charge(100))
  ann.does(grant(100))
  ann.does(clawBack(1, 100))
  for (let i = 0; i < 1000; i += 1) ann.does(grant(1))
  t.equal(ann.refuses(allocate([part(1)])).code, 'limit_exceeded')
  t.strictSame(ann.does(clawBack(1, 0)).at(0)?.split(':')[0], 'reinstate 100')
})

t.test(
  'an allocation has a row and a lot for each part, and sets the tier with them',
  async (t) => {
    const ann = createStory()
    const membership = { tier: 'pro', tierExpiresAtMs: SOON_MS }
    const parts = [part(300, SOON_MS), part(20)]
    t.strictSame(ann.does(allocate(parts, membership)), [
      'allocation 300: #1 300',
      'allocation 20: #2 20',
    ])
    t.match(ann.rows[1], { type: 'allocation', detail: { planId: 'pro' }, key: null })
    t.match(ann.now, { tier: 'pro', tierExpiresAtMs: SOON_MS })
    t.match(ann.lot(1), { source: 'monthly', amount: 300, expiresAtMs: SOON_MS })
    ann.does(allocate([part(1)]))
    t.match(ann.now, { tier: 'pro' }, 'without one the membership stays')
    t.strictSame(ann.does(allocate([], { tier: null, tierExpiresAtMs: null })), [])
    t.match(ann.now, { tier: null, tierExpiresAtMs: null })
  },
)

t.test('a grant tells what it is for beside the reason', async (t) => {
  const ann = createStory()
  ann.does({ ...purchase, reason: null, detail: { purchaseId: 'p1' } })
  t.strictSame(ann.rows[0]?.detail, { purchaseId: 'p1' })
  ann.does({ ...purchase, reason: 'sorry', detail: { purchaseId: 'p1' } })
  t.strictSame(ann.rows[1]?.detail, { purchaseId: 'p1', reason: 'sorry' })
  ann.does({ ...purchase, reason: null })
  t.strictSame(ann.rows[2]?.detail, null)
})

t.test("a caller's detail can not change what is counted", async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(charge(100))
  const detail = { debt: 7, clawedBack: 1, grantSeq: 9, target: 3, purchaseId: 'p1' }
  ann.does({ kind: 'claw_back', grantSeq: 1, target: 60, reason: 'asked', detail })
  t.strictSame(ann.rows.at(-1)?.detail, {
    ...{ grantSeq: 1, target: 60, clawedBack: 60, debt: 60 },
    ...{ reason: 'asked', purchaseId: 'p1' },
  })
  t.strictSame(ann.does(clawBack(1, 60)), [])
})

t.test('a low balance is told once a crossing, by whatever made it', async (t) => {
  const ann = createStory(undefined, { few: 10 })
  ann.does(grant(30))
  ann.does(charge(20))
  t.strictSame(ann.told, [], '10 are not fewer than 10')
  ann.does(charge(1))
  ann.does(charge(1))
  t.strictSame(ann.told, ['3:balance.low'], 'told when it fell, not while it is low')
  t.strictSame(ann.books.events[0], {
    accountId: 'ann',
    id: '3:balance.low',
    type: 'balance.low',
    data: { available: 9, balance: 9, threshold: 10, accountId: 'ann', seq: 3 },
    createdAtMs: START_MS,
  })
  ann.does(grant(30, { expiresAtMs: SOON_MS }))
  ann.does(hold(35))
  t.equal(ann.told[1], '6:balance.low', 'a hold leaves less to spend')
  ann.does(release(6))
  ann.nowMs = SOON_MS
  ann.does({ kind: 'sweep' })
  t.equal(ann.told[2], '8:balance.low', 'an expiry too')
  t.equal(ann.told.length, 3)
})

t.test(
  'credits that leave as others come are no news, nor is an account that is closed',
  async (t) => {
    const ann = createStory(undefined, { few: 10 })
    ann.does(allocate([part(30, SOON_MS)]))
    ann.nowMs = SOON_MS
    t.strictSame(ann.does(allocate([part(30)])), ['expire -30: #1 -30', 'allocation 30: #3 30'])
    t.strictSame(ann.told, [])
    ann.does(grant(5, { expiresAtMs: SOON_MS + 1000 }))
    ann.does(charge(30))
    t.strictSame(ann.told, ['5:balance.low'])
    ann.does(grant(20, { expiresAtMs: SOON_MS + 1000 }))
    ann.does(close)
    ann.nowMs += 1000
    ann.does({ kind: 'sweep' })
    t.strictSame(ann.told, ['5:balance.low'])
  },
)

t.test('a debt is told of when it rises, and not while it is paid', async (t) => {
  const ann = createStory()
  ann.does(grant(100))
  ann.does(charge(100))
  ann.does(clawBack(1, 60))
  t.strictSame(ann.told, ['3:account.in_debt'])
  t.match(ann.books.events[0]?.data, { debt: 60, balance: 0, seq: 3, accountId: 'ann' })
  ann.does(grant(10))
  t.equal(ann.told.length, 1)
  ann.does(clawBack(1, 70))
  t.match(ann.books.events[1]?.data, { debt: 60, seq: 6 })
})

t.test('what a caller announces comes with the first row of its operation', async (t) => {
  const ann = createStory()
  const announce = { type: 'purchase.completed', data: { purchaseId: 'p1', seq: 99 } }
  ann.does(grant(5, { expiresAtMs: SOON_MS }))
  ann.nowMs = SOON_MS
  ann.does({ ...purchase, announce })
  t.strictSame(ann.books.events, [
    {
      accountId: 'ann',
      id: '3:purchase.completed',
      type: 'purchase.completed',
      data: { purchaseId: 'p1', accountId: 'ann', seq: 3 },
      createdAtMs: SOON_MS,
    },
  ])
  ann.does({ ...clawBack(3, 0), announce })
  t.equal(ann.told.length, 1, 'what writes no row announces nothing')
  ann.refuses({ ...charge(1000), announce })
  t.equal(ann.told.length, 1, 'nor what is refused')
  const welcomed = createStory({ kind: 'open', signupBonus: 5, announce })
  t.strictSame(welcomed.told, ['1:purchase.completed'])
})

const purchase = {
  kind: 'grant',
  amount: 10,
  source: 'purchased',
  priority: 50,
  expiresAtMs: null,
  reason: null,
} as const

const part = (amount: number, expiresAtMs: number | null = null): TransferPart => ({
  amount,
  source: 'monthly',
  priority: 50,
  expiresAtMs,
})
