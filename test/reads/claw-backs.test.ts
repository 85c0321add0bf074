import t from 'tap'
import { transactionOf } from '../../src/credits/transaction.js'
import { encodeId } from '../../src/ledger/ids.js'
import type { Row } from '../../src/ledger/model.js'
import { type Ask, chargeOf, grantOf, withBank } from './kit.js'

const part = (amount: number, source: 'monthly' | 'bonus') =>
  ({ amount, source, priority: 50, expiresAtMs: null }) as const

const clawBack = (grantSeq: number, target: number): Ask => ({
  ...{ kind: 'claw_back', grantSeq, target, reason: 'refunded' },
  detail: { purchaseId: 'p1' },
})

withBank("the plan's own tables balance over claw-backs too", async (t, { pool, does }) => {
  await does('ann', { kind: 'open', signupBonus: 0 })
  const parts = [part(300, 'monthly'), part(30, 'bonus')]
  await does('ann', { kind: 'allocation', parts, membership: null, detail: { planId: 'pro' } })
  await does('ann', grantOf(500, { source: 'purchased' }))
  await does('ann', chargeOf(780, 'chat'))
  await does('ann', clawBack(3, 250))
  await does('ann', clawBack(3, 100))
  const { rows } = await pool.query(`
    select balance, debt, monthly_allocation + purchased_credits - spent_credits as sum
      from user_credits`)
  t.same(rows, [{ balance: 0, debt: 50, sum: 0 }])
  const totals = await pool.query(`
    select type, sum(amount)::bigint as amount
      from credit_transactions group by type order by type`)
  t.same(totals.rows, [
    { type: 'bonus', amount: 30 },
    { type: 'earned', amount: 300 },
    { type: 'purchased', amount: 500 },
    { type: 'refunded', amount: 100 },
    { type: 'spent', amount: -930 },
  ])
})

withBank('the history and the balance of an instant know the new kinds', async (t, bank) => {
  const { ledger, reads, does } = bank
  await does('ann', { kind: 'open', signupBonus: 0 })
  await does('ann', grantOf(100, { source: 'purchased' }))
  await does('ann', chargeOf(60, 'chat'))
  const before = ledger.now()
  while (ledger.now() <= before + 2) await ledger.read('ann')
  await does('ann', clawBack(1, 100))
  await does('ann', clawBack(1, 30))
  const query = { accountId: 'ann', beforeSeq: null, limit: 9, fromMs: null, toMs: null }
  const found = async (type: 'claw_back' | 'reinstate') =>
    (await reads.history({ ...query, action: null, type })).map(({ seq }) => seq)
  t.same([await found('claw_back'), await found('reinstate')], [[3], [4]])
  t.match(await reads.balanceAt('ann', before + 1), { balance: 40, debt: 0 })
  t.match(await reads.balanceAt('ann', ledger.now()), { balance: 10, debt: 0 })
})

t.test('a transaction tells what was clawed back, of which grant and why', async (t) => {
  const row: Row = {
    ...{ accountId: 'ann', seq: 3, type: 'claw_back' as const, action: null, amount: -40 },
    ...{ balanceAfter: 0, heldAfter: 0, debtAfter: 60, key: null, digest: null, actor: 'tester' },
    parts: [{ grantSeq: 1, source: 'purchased', amount: -40 }],
    detail: { grantSeq: 1, target: 100, clawedBack: 100, debt: 60, purchaseId: 'p1' },
    ...{ requestId: null, metadata: null, createdAtMs: 0 },
  }
  const grantId = encodeId('gr', 'ann', 1)
  t.match(transactionOf(row), { grantId, purchaseId: 'p1', clawedBack: 100, debt: 60, amount: -40 })
  const detail = { planId: 'pro' }
  const allocated: Row = { ...row, type: 'allocation', amount: 40, detail }
  const made = encodeId('gr', 'ann', 3)
  t.match(transactionOf(allocated), { grantId: made, planId: 'pro' })
})
