import { setTimeout as sleep } from 'node:timers/promises'
import { atOnce, eventually, type Reply, tally } from './kit-client.js'
import { type Case, orderedEqual } from './kit-suite.js'

/** What is documented, and a machine that has other things to do. */
const REVOCATION_BOUND_MS = 5_000
const SLACK_MS = 1_500

/** What is done through one process is seen through the other, and when. */
export const timeCases: readonly Case[] = [
  [
    'a reader sees its own acknowledged write through any process',
    async (t, { call, open }) => {
      await open('reader', 1_000)
      const path = '/v1/accounts/reader'
      for (let i = 0; i < 40; i += 1) {
        const written = await call('POST', `${path}/charges`, { amount: 1 }, { through: i })
        const other = { through: i + 1 }
        const [balance, history, row] = await Promise.all([
          call('GET', `${path}/balance`, undefined, other),
          call('GET', `${path}/transactions?limit=1`, undefined, other),
          call('GET', `/v1/transactions/${written.body.transactionId}`, undefined, other),
        ])
        const seen = [
          balance.body.balance,
          balance.body.seq,
          history.body.transactions[0],
          row.body,
        ]
        const wanted = [written.body.balanceAfter, written.body.seq, written.body, written.body]
        if (!t.same(seen, wanted, `write ${i}`)) return
      }
      const hold = await call(
        'POST',
        `${path}/holds`,
        { amount: 3, ttlSeconds: 60 },
        { through: 0 },
      )
      const held = await call('GET', `${path}/holds/${hold.body.holdId}`, undefined, { through: 1 })
      t.match(held.body, { status: 'active', amountHeld: 3 })
    },
  ],
  [
    'pages of the history lose and repeat nothing while others write',
    async (t, { call, open }) => {
      await open('pages', 10_000)
      const path = '/v1/accounts/pages'
      const charge = () => call('POST', `${path}/charges`, { amount: 1 })
      await atOnce(150, charge)
      let isReading = true
      const writers = atOnce(4, async () => {
        while (isReading) await charge()
      })
      for (const limit of [7, 50]) {
        const seqs: number[] = []
        let cursor = ''
        do {
          const page = await call('GET', `${path}/transactions?limit=${limit}${cursor}`)
          seqs.push(...page.body.transactions.map((row: { seq: number }) => row.seq))
          cursor = page.body.nextCursor === null ? '' : `&cursor=${page.body.nextCursor}`
        } while (cursor !== '')
        orderedEqual(t, seqs, 1, seqs[0] ?? 0)
        t.ok((seqs[0] ?? 0) > 150)
      }
      isReading = false
      await writers
      const { seq } = (await call('GET', `${path}/balance`)).body
      const first = await call('GET', `${path}/transactions?limit=200&type=charge`)
      t.equal(first.body.transactions[0].seq, seq)
    },
  ],
  [
    'capture, release and expiry of one hold at once: it ends in one way, once',
    async (t, { call, open, sql }) => {
      const count = 12
      await open('settle', count * 10)
      const path = '/v1/accounts/settle/holds'
      const made = await atOnce(count, () => call('POST', path, { amount: 10, ttlSeconds: 1 }))
      t.same(tally(made), { 201: count })
      const settled = await Promise.all(
        made.map(async ({ body }, i) => {
          await sleep(Math.max(0, Date.parse(body.expiresAt) - Date.now() + i * 4 - 30))
          const hold = `${path}/${body.holdId}`
          return Promise.all([
            call('POST', `${hold}/capture`, { amount: 4 }),
            call('POST', `${hold}/release`, {}),
            call('POST', '/v1/accounts/settle/grants', { amount: 1 }),
            call('POST', `${hold}/capture`, {}),
          ])
        }),
      )
      await eventually(
        'all are due',
        () => Date.now() > Date.parse(made.at(-1)?.body.expiresAt),
        5_000,
      )
      await call('POST', '/v1/accounts/settle/grants', { amount: 1 })
      let captured = 0
      for (const [i, replies] of settled.entries()) {
        const [partly, released, , wholly] = replies as [Reply, Reply, Reply, Reply]
        const done = [partly, released, wholly].filter(({ status }) => status === 200)
        t.ok(done.length <= 1, 'at most one of them succeeds')
        const hold = (await call('GET', `${path}/${made[i]?.body.holdId}`)).body
        t.equal(hold.status, done[0]?.body.status ?? 'expired')
        t.equal(hold.settledBy !== null, true)
        for (const { status, body } of [partly, released, wholly]) {
          if (status !== 200) t.equal(body.code, 'hold_not_active')
        }
        captured -= done[0]?.body.amount ?? 0
      }
      const rows = await sql<{ count: string }>(
        `select count(*) from transactions where account_id = 'settle'
            and type in ('capture', 'release', 'hold_expire')`,
      )
      t.equal(Number(rows[0]?.count), count, 'one row for each hold')
      const balance = (await call('GET', '/v1/accounts/settle/balance')).body
      t.match(balance, { balance: count * 10 + count + 1 - captured, held: 0 })
    },
  ],
  [
    'a membership ends by itself, for access and for the price, in every process',
    async (t, { call, open }) => {
      await open('member', 100)
      await call('PUT', '/v1/prices/time.member', {
        cost: 10,
        tierCosts: { pro: 3 },
        requiredTier: 'pro',
      })
      await call('PUT', '/v1/prices/time.tiered', { cost: 10, tierCosts: { pro: 3 } })
      const expiresAt = new Date(Date.now() + 1_500).toISOString()
      await call('PUT', '/v1/accounts/member/membership', { tier: 'pro', expiresAt })
      const charge = (action: string, through: number) =>
        call('POST', '/v1/accounts/member/charges', { action }, { through })
      for (const through of [0, 1]) {
        t.match(await charge('time.member', through), { status: 201, body: { amount: -3 } })
      }
      await sleep(Math.max(0, Date.parse(expiresAt) - Date.now() + 20))
      for (const through of [0, 1]) {
        t.match(await charge('time.member', through), {
          status: 403,
          body: { code: 'membership_required', required: 'pro', current: null },
        })
        t.match(await charge('time.tiered', through), { status: 201, body: { amount: -10 } })
        const account = await call('GET', '/v1/accounts/member', undefined, { through })
        t.equal(account.body.membershipTier, null)
        const path = '/v1/accounts/member/access?action=time.member'
        t.match((await call('GET', path, undefined, { through })).body, { allowed: false })
      }
    },
  ],
  [
    'a new price counts everywhere as soon as it is answered',
    async (t, { call, open }) => {
      await open('priced', 100_000)
      const path = '/v1/prices/time.price'
      await call('PUT', path, { cost: 1 })
      const charge = (through: number) =>
        call('POST', '/v1/accounts/priced/charges', { action: 'time.price' }, { through })
      for (let cost = 2; cost <= 6; cost += 1) {
        // both have the old price in memory, and go on using it while it changes
        const busy = atOnce(10, (i) => charge(i))
        await call('PUT', path, { cost }, { through: cost })
        const replies = await atOnce(10, (i) => charge(cost + i + 1))
        t.ok(
          replies.every(({ status, body }) => status === 201 && body.amount === -cost),
          `all pay ${cost}`,
        )
        await busy
      }
      await call('DELETE', path, undefined, { through: 0 })
      const gone = await charge(1)
      t.match(gone, { status: 404, body: { code: 'action_not_found' } })
    },
  ],
  [
    'a revoked API key ends here at once and elsewhere within five seconds',
    async (t, { call, services }) => {
      const body = { name: 'to be revoked', scopes: ['credits:read', 'credits:write'] }
      const { key, id } = (await call('POST', '/v1/api-keys', body)).body
      const use = (through: number) =>
        call('GET', '/v1/accounts/nobody', undefined, { key, through })
      const all = services.map((_, i) => i)
      for (const through of all) t.equal((await use(through)).status, 404, 'it is accepted')
      t.match(await call('PUT', '/v1/accounts/nobody', {}, { key }), {
        status: 403,
        body: { code: 'forbidden' },
      })
      const revoked = await call('DELETE', `/v1/api-keys/${id}`, undefined, { through: 0 })
      t.equal(revoked.status, 200)
      const sinceMs = performance.now()
      t.equal((await use(0)).status, 401, 'at once where it was revoked')
      for (const through of all) {
        const isRefused = async () => (await use(through)).status === 401
        await eventually('the key is refused', isRefused, REVOCATION_BOUND_MS + SLACK_MS)
      }
      t.comment(`refused everywhere after ${Math.round(performance.now() - sinceMs)} ms`)
      await sleep(50)
      for (const through of all) t.equal((await use(through)).status, 401, 'and it stays so')
    },
  ],
]
