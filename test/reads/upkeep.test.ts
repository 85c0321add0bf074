import { digestOf, keyDigest } from '../../src/ledger/ids.js'
import { createUpkeep } from '../../src/ledger/upkeep.js'
import { type Bank, chargeOf, grantOf, priced, until, withBank } from './kit.js'

const balances = async ({ ledger }: Bank, ...ids: string[]) =>
  Promise.all(ids.map(async (id) => (await ledger.read(id))?.balance))

const pendingOf = async ({ pool }: Bank) =>
  (await pool.query('select id, attempts, last_error from pending_work order by id')).rows

async function openBoth(bank: Bank): Promise<void> {
  await bank.does('ann', { kind: 'open', signupBonus: 0 })
  await bank.does('bob', { kind: 'open', signupBonus: 0 })
}

withBank(
  'a transfer keeps source, priority and expiry of every lot that it moves',
  async (t, bank) => {
    await openBoth(bank)
    const expiresAtMs = bank.ledger.now() + 3_600_000
    await bank.does('ann', grantOf(30, { source: 'monthly', expiresAtMs, priority: 10 }))
    await bank.does('ann', grantOf(100, { source: 'purchased' }))
    const debit = await bank.does('ann', { kind: 'transfer_out', to: 'bob', amount: 50 })
    t.same(await balances(bank, 'ann', 'bob'), [80, 0])
    t.equal((await pendingOf(bank)).length, 1)
    await bank.upkeep.finishTransfer('ann', debit.row?.seq ?? 0)
    t.same(await balances(bank, 'ann', 'bob'), [80, 50])
    t.same(await pendingOf(bank), [])
    const bob = await bank.ledger.read('bob')
    t.match(bob?.lots, [
      { source: 'monthly', remaining: 30, priority: 10, expiresAtMs },
      { source: 'purchased', remaining: 20, priority: 50, expiresAtMs: null },
    ])
  },
)

withBank('work that a crash left is finished once, by however many at once', async (t, bank) => {
  await openBoth(bank)
  await bank.does('ann', grantOf(100))
  for (let i = 0; i < 10; i += 1) {
    await bank.does('ann', { kind: 'transfer_out', to: 'bob', amount: 7 })
  }
  const counts = await Promise.all(Array.from({ length: 5 }, () => bank.upkeep.finishPending()))
  t.ok(counts.reduce((a, b) => a + b, 0) >= 10)
  t.same(await balances(bank, 'ann', 'bob'), [30, 70])
  t.same(await pendingOf(bank), [])
  t.equal(await bank.upkeep.finishPending(), 0)
})

withBank('a transfer to an account that was closed meanwhile comes back, once', async (t, bank) => {
  await openBoth(bank)
  await bank.does('ann', grantOf(100, { source: 'purchased' }))
  await bank.does('ann', { kind: 'transfer_out', to: 'bob', amount: 60 })
  await bank.does('bob', { kind: 'close' })
  await Promise.all([bank.upkeep.finishPending(), bank.upkeep.finishPending()])
  t.same(await balances(bank, 'ann', 'bob'), [100, 0])
  const ann = await bank.ledger.read('ann')
  t.match(ann?.lots, [{ remaining: 40 }, { remaining: 60, source: 'purchased' }])
})

withBank(
  'a transfer to a full account waits until there is room, and is never lost',
  async (t, bank) => {
    await openBoth(bank)
    await bank.does('ann', grantOf(100))
    await Promise.all(Array.from({ length: 1000 }, () => bank.does('bob', grantOf(1))))
    await bank.does('ann', { kind: 'transfer_out', to: 'bob', amount: 60 })
    t.equal(await bank.upkeep.finishPending(), 0)
    t.equal(bank.faults.length, 1)
    t.match(bank.faults.splice(0), [{ code: 'limit_exceeded' }])
    t.match(await pendingOf(bank), [{ attempts: 1, last_error: /live grants/ }])
    await bank.does('bob', chargeOf(1))
    await bank.pool.query(`update pending_work set next_attempt_at = now() - interval '1 s'`)
    t.equal(await bank.upkeep.finishPending(), 1)
    t.same(await balances(bank, 'ann', 'bob'), [40, 1059])
  },
)

withBank('a client can not take the key of a transfer', async (t, bank) => {
  await openBoth(bank)
  await bank.does('ann', grantOf(100))
  const debit = await bank.does('ann', { kind: 'transfer_out', to: 'bob', amount: 60 })
  const fact = `transfer_in:ann:${debit.row?.seq}`
  const request = { actor: 'x', requestId: null, metadata: null, digest: digestOf('x') }
  await bank.ledger.submit({
    accountId: 'bob',
    key: keyDigest('api', fact),
    ...request,
    ...grantOf(1),
  } as Parameters<typeof bank.ledger.submit>[0])
  await bank.upkeep.finishPending()
  t.same(await balances(bank, 'ann', 'bob'), [40, 61])
})

withBank(
  'the sweep writes what is due, so that the books agree with what readers see',
  async (t, bank) => {
    await openBoth(bank)
    const soonMs = bank.ledger.now() + 150
    await bank.does('ann', grantOf(30, { expiresAtMs: soonMs }))
    await bank.does('ann', grantOf(50))
    await bank.does('bob', grantOf(20))
    await bank.does('bob', { kind: 'hold', action: null, quote: priced(15), ttlMs: 100 })
    t.equal(await bank.upkeep.sweep(), 0, 'nothing is due yet')
    await until(bank.ledger, soonMs + 50)
    const before = await bank.ledger.read('ann')
    t.equal(before?.balance, 50, 'a reader does not wait for the sweep')
    const again = createUpkeep({ ...bank, onFault: (error) => bank.faults.push(error) })
    await Promise.all([bank.upkeep.sweep(), again.sweep()])
    const { rows } = await bank.pool.query(
      `select account_id, type, amount, actor from transactions
      where type in ('expire', 'hold_expire') order by account_id`,
    )
    t.same(rows, [
      { account_id: 'ann', type: 'expire', amount: -30, actor: 'system' },
      { account_id: 'bob', type: 'hold_expire', amount: 0, actor: 'system' },
    ])
    t.equal(await bank.upkeep.sweep(), 0, 'and then there is nothing left')
  },
)

async function openDue(bank: Bank, ids: readonly string[]): Promise<void> {
  const soonMs = bank.ledger.now() + 300
  await Promise.all(
    ids.map(async (id) => {
      await bank.does(id, { kind: 'open', signupBonus: 0 })
      // two lots each: a page of lots is then fewer accounts than its limit
      await bank.does(id, grantOf(3, { expiresAtMs: soonMs }))
      await bank.does(id, grantOf(4, { expiresAtMs: soonMs }))
    }),
  )
  await until(bank.ledger, soonMs + 50)
}

const TEN = Array.from({ length: 10 }, (_, i) => `due-${i}`)

withBank('one sweep settles all that is due, page after page', async (t, bank) => {
  await openDue(bank, TEN)
  const pages: number[] = []
  const dueAccounts = async (limit: number) => {
    const due = await bank.reads.dueAccounts(limit)
    pages.push(due.length)
    return due
  }
  const { sweep } = createUpkeep({
    ...bank,
    onFault() {},
    reads: { dueAccounts },
    sweepAccounts: 4,
  })
  t.equal(await sweep(), 10)
  t.ok(
    pages.every((length) => length <= 4),
    `pages of ${pages}`,
  )
  t.same(await bank.reads.dueAccounts(100), [])
})

withBank('a sweep ends after its page when it is told to', async (t, bank) => {
  await openDue(bank, TEN)
  const abort = new AbortController()
  const submit: typeof bank.ledger.submit = (operation) => {
    abort.abort()
    return bank.ledger.submit(operation)
  }
  const upkeep = createUpkeep({ ...bank, onFault() {}, ledger: { submit }, sweepAccounts: 4 })
  const settled = await upkeep.sweep(abort.signal)
  t.ok(settled > 0 && settled <= 4, `${settled} settled`)
  t.equal((await bank.reads.dueAccounts(100)).length, 10 - settled)
})

withBank('an account that can not be settled holds up no other, nor the sweep', async (t, bank) => {
  await openDue(bank, TEN)
  const submit: typeof bank.ledger.submit = async (operation) => {
    if (operation.accountId === 'due-3') throw new Error('not this one')
    return bank.ledger.submit(operation)
  }
  const upkeep = createUpkeep({ ...bank, onFault() {}, ledger: { submit }, sweepAccounts: 4 })
  await t.rejects(upkeep.sweep(), { message: 'not this one' })
  t.same(await bank.reads.dueAccounts(100), ['due-3'])
  t.equal(await bank.upkeep.sweep(), 1)
})
