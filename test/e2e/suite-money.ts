import { atOnce, tally } from './kit-client.js'
import { type Case, orderedEqual } from './kit-suite.js'

const MAX_CREDITS = 2 ** 53 - 1

/** Credits are exact, whatever comes at once and through whichever process. */
export const moneyCases: readonly Case[] = [
  [
    'a new user: open an account, grant, charge, look at the history',
    async (t, { call }) => {
      const opened = await call('PUT', '/v1/accounts/ada', { email: 'ada@example.com' })
      t.match(opened, { status: 201, body: { accountId: 'ada', balance: 0, status: 'active' } })
      const granted = await call('POST', '/v1/accounts/ada/grants', { amount: 100 })
      t.match(granted, { status: 201, body: { type: 'grant', seq: 1, balanceAfter: 100 } })
      const charged = await call('POST', '/v1/accounts/ada/charges', {
        amount: 10,
        metadata: { conversation: 'c-17' },
      })
      t.match(charged, {
        status: 201,
        body: { seq: 2, amount: -10, balanceBefore: 100, balanceAfter: 90 },
      })
      t.same(charged.body.grants, [{ grantId: granted.body.grantId, source: 'bonus', amount: 10 }])
      const history = await call('GET', '/v1/accounts/ada/transactions')
      t.same(history.body.transactions, [charged.body, granted.body], 'newest first')
      const balance = await call('GET', '/v1/accounts/ada/balance')
      t.match(balance.body, { balance: 90, available: 90, held: 0, buckets: { bonus: 90 } })
      t.equal((await call('PUT', '/v1/accounts/ada')).status, 200, 'opening again changes nothing')
      t.match((await call('GET', '/v1/accounts/ada')).body, { email: 'ada@example.com' })
    },
  ],
  [
    '100 charges of 10 at once on 500 credits: exactly 50 succeed',
    async (t, { call, open, balanceOf }) => {
      await open('hundred', 500)
      const path = '/v1/accounts/hundred/charges'
      const replies = await atOnce(100, () => call('POST', path, { amount: 10 }))
      t.same(tally(replies), { 201: 50, 402: 50 })
      t.equal(await balanceOf('hundred'), 0)
      const seqs = replies.filter(({ status }) => status === 201).map(({ body }) => body.seq)
      orderedEqual(t, seqs, 2, 51)
      for (const { body } of replies.filter(({ status }) => status === 402)) {
        t.match(body, { code: 'insufficient_credits', required: 10, available: 0 })
      }
    },
  ],
  [
    '20 holds of 75 at once on 500 credits: exactly 6 succeed',
    async (t, { call, open }) => {
      await open('holds', 500)
      const path = '/v1/accounts/holds/holds'
      const body = { amount: 75, ttlSeconds: 600 }
      const replies = await atOnce(20, () => call('POST', path, body))
      t.same(tally(replies), { 201: 6, 402: 14 })
      const balance = await call('GET', '/v1/accounts/holds/balance')
      t.match(balance.body, { balance: 500, held: 450, available: 50 })
      const holdIds = replies.filter(({ status }) => status === 201).map((r) => r.body.holdId)
      const captured = await Promise.all(
        holdIds.map((id, i) => call('POST', `${path}/${id}/capture`, { amount: 70 + i })),
      )
      t.same(tally(captured), { 200: 6 })
      const left = await call('GET', '/v1/accounts/holds/balance')
      t.match(left.body, { balance: 500 - (6 * 70 + 15), held: 0 })
    },
  ],
  [
    'spending exactly the balance is allowed, one credit more is not',
    async (t, { call, open, balanceOf }) => {
      await open('exact', 123)
      const path = '/v1/accounts/exact/charges'
      t.match(await call('POST', path, { amount: 124 }), {
        status: 402,
        body: { required: 124, available: 123 },
      })
      t.equal((await call('POST', path, { amount: 123 })).status, 201)
      t.equal(await balanceOf('exact'), 0)
      t.match(await call('POST', path, { amount: 1 }), { status: 402, body: { available: 0 } })
    },
  ],
  [
    'amounts are exact up to 2^53-1, and beyond it nothing happens',
    async (t, { call, open, balanceOf }) => {
      await open('vast')
      const grants = '/v1/accounts/vast/grants'
      t.equal((await call('POST', grants, { amount: MAX_CREDITS - 1 })).status, 201)
      t.match(await call('POST', grants, { amount: 2 }), {
        status: 422,
        body: { code: 'limit_exceeded' },
      })
      t.equal((await call('POST', grants, { amount: 1 })).status, 201)
      t.equal(await balanceOf('vast'), MAX_CREDITS)
      const charges = '/v1/accounts/vast/charges'
      const charged = await call('POST', charges, { amount: MAX_CREDITS })
      t.match(charged.body, { amount: -MAX_CREDITS, balanceAfter: 0 })
      const refund = { transactionId: charged.body.transactionId }
      const refunded = await call('POST', '/v1/accounts/vast/refunds', refund)
      t.match(refunded.body, { amount: MAX_CREDITS, balanceAfter: MAX_CREDITS })
      t.equal((await call('POST', charges, { amount: 2 ** 31 })).status, 201)
      t.equal(await balanceOf('vast'), MAX_CREDITS - 2 ** 31)
    },
  ],
  [
    'refunds of one charge, 50 at once, never exceed it',
    async (t, { call, open, balanceOf }) => {
      await open('refunds', 200)
      const charge = async () =>
        (await call('POST', '/v1/accounts/refunds/charges', { amount: 100 })).body.transactionId
      const [parts, whole] = [await charge(), await charge()]
      const path = '/v1/accounts/refunds/refunds'
      const refunds = await atOnce(50, () =>
        call('POST', path, { transactionId: parts, amount: 3 }),
      )
      t.same(tally(refunds), { 201: 33, 422: 17 })
      for (const { body } of refunds.filter(({ status }) => status === 422)) {
        t.match(body, { code: 'refund_exceeds_charge', refundable: 1 })
      }
      const all = await atOnce(50, () => call('POST', path, { transactionId: whole }))
      t.same(tally(all), { 201: 1, 422: 49 })
      t.equal(await balanceOf('refunds'), 199)
    },
  ],
  [
    'bulk of 1,000 with 30 % refusals: each its own outcome, none spoils another',
    async (t, { call, open, sql }) => {
      const accounts = Array.from({ length: 20 }, (_, i) => `bulk-${i}`)
      await Promise.all(accounts.map((id) => open(id, 350)))
      // 50 charges of 10 for each account, all in its own order: the first 35 have credits
      const operations = Array.from({ length: 1_000 }, (_, i) => ({
        type: 'charge',
        accountId: accounts[i % 20],
        amount: 10,
      }))
      const { status, body } = await call(
        'POST',
        '/v1/operations',
        { operations },
        { idempotencyKey: 'bulk' },
      )
      t.equal(status, 200)
      const statuses: number[] = body.outcomes.map((outcome: { status: number }) => outcome.status)
      t.same(
        statuses,
        statuses.map((_, i) => (i < 700 ? 201 : 402)),
        'in the order of the operations',
      )
      const again = await call('POST', '/v1/operations', { operations }, { idempotencyKey: 'bulk' })
      t.same(
        again.body.outcomes.slice(0, 700).map((o: object) => ({ ...o, replayed: undefined })),
        body.outcomes.slice(0, 700).map((o: object) => ({ ...o, replayed: undefined })),
        'again: the first answers',
      )
      const [left] = await sql<{ rows: string; balance: string }>(
        `select (select count(*) from transactions where account_id like 'bulk-%') as rows,
                (select sum(balance) from accounts where id like 'bulk-%') as balance`,
      )
      t.same([Number(left?.rows), Number(left?.balance)], [720, 0])
    },
  ],
  [
    'a bulk call of every kind, with 99 % and with 1 % refusals',
    async (t, { call, open, balanceOf }) => {
      await open('drain', 5)
      await open('drain-2', 995)
      const charges = (accountId: string) =>
        Array.from({ length: 500 }, () => ({ type: 'charge', accountId, amount: 1 }))
      const drained = await call('POST', '/v1/operations', { operations: charges('drain') })
      const count = (outcomes: { status: number }[], status: number) =>
        outcomes.filter((outcome) => outcome.status === status).length
      t.equal(count(drained.body.outcomes, 201), 5)
      t.equal(count(drained.body.outcomes, 402), 495)
      const operations = [...charges('drain-2'), ...charges('drain-2')]
      const almost = await call('POST', '/v1/operations', { operations })
      t.equal(count(almost.body.outcomes, 201), 995)
      t.equal(count(almost.body.outcomes, 402), 5)
      t.same([await balanceOf('drain'), await balanceOf('drain-2')], [0, 0])
    },
  ],
  [
    'transfers both ways between two accounts at once conserve the sum',
    async (t, { call, open, sql, balanceOf }) => {
      await open('left', 300)
      await open('right', 300)
      const replies = await atOnce(80, (i) => {
        const [from, to] = i % 2 === 0 ? ['left', 'right'] : ['right', 'left']
        return call('POST', '/v1/transfers', { from, to, amount: 7 + (i % 5) })
      })
      t.ok(replies.every(({ status }) => status === 201 || status === 402))
      t.ok((tally(replies)[201] ?? 0) > 40, 'most go through')
      const [pending] = await sql<{ count: string }>('select count(*) from pending_work')
      t.equal(Number(pending?.count), 0, 'the credits arrive with the replies')
      t.equal((await balanceOf('left')) + (await balanceOf('right')), 600)
      t.match(await call('POST', '/v1/transfers', { from: 'left', to: 'nobody', amount: 1 }), {
        status: 404,
        body: { code: 'account_not_found' },
      })
    },
  ],
  [
    'the first touch of one account by many at once opens it once',
    async (t, { call, sql }) => {
      const replies = await atOnce(60, (i) => {
        const path = '/v1/accounts/first-touch'
        if (i % 3 === 0) return call('POST', `${path}/grants`, { amount: 5 })
        return call('PUT', path)
      })
      const puts = tally(replies.filter((_, i) => i % 3 !== 0))
      t.same(puts, { 200: 39, 201: 1 }, 'one of them opened it')
      const granted = replies.filter(({ status }, i) => i % 3 === 0 && status === 201).length
      const unopened = replies.filter(({ status }) => status === 404).length
      t.equal(granted + unopened, 20)
      const rows = await sql<{ balance: string }>(
        `select balance from accounts where id = 'first-touch'`,
      )
      t.same(
        rows.map((row) => Number(row.balance)),
        [5 * granted],
      )
    },
  ],
]
