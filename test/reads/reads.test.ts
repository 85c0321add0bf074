import type { HoldStatus } from '../../src/ledger/model.js'
import { balanceOf } from '../../src/ledger/reads.js'
import { type Ask, chargeOf, grantOf, priced, until, withBank } from './kit.js'

const all = { beforeSeq: null, limit: 50, fromMs: null, toMs: null, action: null, type: null }

withBank('the balance at an instant is what a reader saw at that instant', async (t, bank) => {
  const { ledger, reads, does } = bank
  const seen: { atMs: number; view: unknown }[] = []
  const note = async () => {
    const state = await ledger.read('ann')
    const atMs = ledger.now()
    // The next row must lie after this instant, in whole milliseconds.
    await until(ledger, atMs)
    if (state) seen.push({ atMs, view: balanceOf(state) })
  }
  await does('ann', { kind: 'open', signupBonus: 5 })
  await note()
  const soonMs = ledger.now() + 400
  await does('ann', grantOf(100, { source: 'monthly', expiresAtMs: soonMs }))
  await note()
  const grant = await does('ann', grantOf(50, { source: 'purchased' }))
  const hold = await does('ann', { kind: 'hold', action: 'a', quote: priced(30), ttlMs: 60_000 })
  await note()
  const short = await does('ann', { kind: 'hold', action: 'b', quote: priced(80), ttlMs: 700 })
  await note()
  await until(ledger, soonMs)
  await note()
  await until(ledger, (short.row?.createdAtMs ?? 0) + 700)
  await note()
  const charge = await does('ann', chargeOf(20, 'x'))
  await note()
  await does('ann', { kind: 'capture', holdSeq: hold.row?.seq ?? 0, quote: priced(10) })
  await note()
  await does('ann', { kind: 'refund', chargeSeq: charge.row?.seq ?? 0, amount: 7, reason: null })
  await note()
  await does('ann', { kind: 'revoke', grantSeq: grant.row?.seq ?? 0, reason: null })
  await note()
  for (const { atMs, view } of seen) {
    const { seq: _, ...then } = (await reads.balanceAt('ann', atMs)) ?? { seq: 0 }
    const { seq: __, ...noted } = view as { seq: number }
    t.same(then, noted, `at ${atMs}`)
  }
  t.ok(new Set(seen.map(({ view }) => JSON.stringify(view))).size >= 8, 'they differ')
  t.equal(await reads.balanceAt('ann', (seen[0]?.atMs ?? 0) - 60_000), null, 'before it was opened')
  t.equal(await reads.balanceAt('nobody', ledger.now()), null)
})

withBank(
  'history goes newest first, by page, instant, action and type',
  async (t, { ledger, reads, does }) => {
    await does('ann', { kind: 'open', signupBonus: 1000 })
    const times: number[] = []
    for (let i = 1; i <= 30; i += 1) {
      const { row } = await does('ann', chargeOf(i, i % 2 === 0 ? 'even' : 'odd'))
      times.push(row?.createdAtMs ?? 0)
      if (i % 10 === 0) await until(ledger, ledger.now())
    }
    const seqs = async (query: Partial<Parameters<typeof reads.history>[0]>) =>
      (await reads.history({ accountId: 'ann', ...all, ...query })).map((row) => row.seq)

    const pages: number[][] = []
    for (let beforeSeq: number | null = null; ; ) {
      const page = await seqs({ limit: 7, beforeSeq })
      if (page.length === 0) break
      pages.push(page)
      beforeSeq = page.at(-1) ?? null
    }
    t.same(
      pages.flat(),
      Array.from({ length: 31 }, (_, i) => 31 - i),
      'no row lost or repeated',
    )

    const [fromMs = 0, toMs = 0] = [times[10], times[19]]
    const expected = times.flatMap((at, i) => (at >= fromMs && at <= toMs ? [i + 2] : [])).reverse()
    t.same(await seqs({ fromMs, toMs }), expected, 'both bounds belong to it')
    t.ok(expected.length >= 10 && expected.length < 31)
    t.same(await seqs({ fromMs: toMs + 60_000 }), [])
    t.same(await seqs({ toMs: fromMs - 60_000 }), [])
    t.equal((await seqs({ action: 'even' })).length, 15)
    t.same(await seqs({ type: 'grant' }), [1])
    t.equal((await reads.transaction('ann', 3))?.amount, -2)
    t.equal(await reads.transaction('ann', 99), null)
    t.equal(await reads.transaction('bob', 3), null)
  },
)

withBank(
  'archived rows are read as if nothing had moved',
  async (t, { pool, ledger, reads, does }) => {
    await does('ann', { kind: 'open', signupBonus: 100 })
    for (let i = 0; i < 9; i += 1) await does('ann', chargeOf(2, 'x'))
    const before = {
      history: await reads.history({ accountId: 'ann', ...all }),
      usage: await reads.usage({ accountId: 'ann', fromMs: null, toMs: null, groupBy: 'action' }),
      balance: await reads.balanceAt('ann', ledger.now()),
    }
    await pool.query(`
    do $$ begin
      set local session_replication_role = replica;
      with moved as (delete from transactions where account_id = 'ann' and seq <= 5 returning *)
      insert into transactions_archive select * from moved;
      update accounts set has_archive = true, version = version + 1 where id = 'ann';
    end $$`)
    t.same(await reads.history({ accountId: 'ann', ...all }), before.history)
    t.same(
      await reads.usage({ accountId: 'ann', fromMs: null, toMs: null, groupBy: 'action' }),
      before.usage,
    )
    t.same(await reads.balanceAt('ann', ledger.now()), before.balance)
    const chargeSeq = 3
    const refund = await does('ann', { kind: 'refund', chargeSeq, amount: null, reason: null })
    t.equal(refund.row?.amount, 2, 'an archived charge can be refunded')
  },
)

withBank('usage adds up by action and by day', async (t, { reads, does }) => {
  await does('ann', { kind: 'open', signupBonus: 100 })
  const first = await does('ann', chargeOf(10, 'chat'))
  await does('ann', chargeOf(5, 'chat'))
  await does('ann', chargeOf(7))
  const hold = await does('ann', { kind: 'hold', action: 'job', quote: priced(20), ttlMs: 60_000 })
  await does('ann', { kind: 'capture', holdSeq: hold.row?.seq ?? 0, quote: priced(12) })
  await does('ann', { kind: 'refund', chargeSeq: first.row?.seq ?? 0, amount: 4, reason: null })
  const span = { accountId: 'ann', fromMs: null, toMs: null }
  t.same(await reads.usage({ ...span, groupBy: 'action' }), [
    { group: 'chat', charged: 15, refunded: 4, count: 2 },
    { group: 'job', charged: 12, refunded: 0, count: 1 },
    { group: null, charged: 7, refunded: 0, count: 1 },
  ])
  const days = await reads.usage({ ...span, groupBy: 'day' })
  t.equal(
    days.reduce((sum, day) => sum + day.charged, 0),
    34,
  )
  t.match(days[0]?.group, /^\d{4}-\d{2}-\d{2}$/)
})

withBank(
  "the plan's own tables balance over every kind of row",
  async (t, { pool, ledger, does }) => {
    await does('ann', { kind: 'open', signupBonus: 10 })
    const soonMs = ledger.now() + 150
    await does('ann', grantOf(300, { source: 'monthly', expiresAtMs: soonMs }))
    await does('ann', grantOf(500, { source: 'purchased' }))
    const charge = await does('ann', chargeOf(40, 'chat'))
    await does('ann', { kind: 'refund', chargeSeq: charge.row?.seq ?? 0, amount: 15, reason: null })
    await until(ledger, soonMs)
    await does('ann', { kind: 'adjustment', amount: 50, reason: 'sorry' })
    await does('ann', { kind: 'adjustment', amount: -20, reason: 'not that much' })
    const { rows } = await pool.query(`
    select user_id, balance, monthly_allocation, purchased_credits, spent_credits
      from user_credits`)
    t.same(rows, [
      {
        user_id: 'ann',
        balance: 540,
        monthly_allocation: 300,
        purchased_credits: 560,
        spent_credits: 320,
      },
    ])
    const totals = await pool.query(`
    select type, sum(amount)::bigint as amount, min(status) as status
      from credit_transactions where user_id = 'ann' group by type order by type`)
    t.same(totals.rows, [
      { type: 'bonus', amount: 60, status: 'completed' },
      { type: 'earned', amount: 300, status: 'completed' },
      { type: 'expired', amount: -275, status: 'completed' },
      { type: 'purchased', amount: 500, status: 'completed' },
      { type: 'refunded', amount: 15, status: 'completed' },
      { type: 'spent', amount: -60, status: 'completed' },
    ])
  },
)

withBank('a hold past its deadline is found as expired before any sweep', async (t, bank) => {
  const { pool, ledger, reads, does } = bank
  await does('ann', { kind: 'open', signupBonus: 100 })
  const hold = (ttlMs: number): Ask => ({ kind: 'hold', action: null, quote: priced(5), ttlMs })
  const due = await does('ann', hold(100))
  const alive = await does('ann', hold(600_000))
  const released = await does('ann', hold(600_000))
  await does('ann', { kind: 'release', holdSeq: released.row?.seq ?? 0 })
  await until(ledger, (due.row?.createdAtMs ?? 0) + 150)
  const { rows } = await pool.query(`select status from holds where hold_seq = $1`, [due.row?.seq])
  t.same(rows, [{ status: 'active' }], 'nothing has swept it')
  const found = async (status: HoldStatus | null) =>
    (await reads.holds('ann', { beforeSeq: null, limit: 9, status })).map(({ holdSeq }) => holdSeq)
  t.same(await found('expired'), [due.row?.seq])
  t.same(await found('active'), [alive.row?.seq])
  t.same(await found('released'), [released.row?.seq])
  t.same(await found(null), [released.row?.seq, alive.row?.seq, due.row?.seq])
  await bank.upkeep.sweep()
  t.same(await found('expired'), [due.row?.seq], 'and the sweep changes nothing')
})

withBank('usage of more groups than one reply has is refused, never cut', async (t, bank) => {
  const { pool, reads, does } = bank
  await does('ann', { kind: 'open', signupBonus: 20_000 })
  await does('ann', chargeOf(1, 'a'))
  const client = await pool.connect()
  await client.query(`set session_replication_role = 'replica'`)
  await client.query(`
    insert into transactions (account_id, seq, type, action, amount, balance_after, held_after,
                              debt_after, actor, created_at, parts)
    select 'ann', 2 + n, 'charge', 'b' || n, -1, 19999 - n, 0, 0, 'tester', now(),
           '[[1, -1, "bonus"]]'
      from generate_series(1, 10000) n`)
  await client.query(`
    update grants set remaining = remaining - 10000 where account_id = 'ann'`)
  await client.query(`
    update accounts set seq = seq + 10000, balance = balance - 10000, version = version + 1
     where id = 'ann'`)
  client.release(true)
  const span = { accountId: 'ann', fromMs: null, toMs: null }
  await t.rejects(reads.usage({ ...span, groupBy: 'action' }), { code: 'limit_exceeded' })
  const days = await reads.usage({ ...span, groupBy: 'day' })
  t.equal(
    days.reduce((sum, { charged }) => sum + charged, 0),
    10_001,
  )
  const { rows } = await pool.query(`select to_ms(min(created_at)) as at from transactions
    where account_id = 'ann' and seq > 2`)
  const lateMs = Number(rows[0]?.at) - 1
  t.ok((await reads.usage({ ...span, toMs: lateMs, groupBy: 'action' })).length <= 1)
})
