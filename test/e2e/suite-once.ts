import type { Test } from 'tap'
import { atOnce, type Reply, tally } from './kit-client.js'
import type { Case } from './kit-suite.js'

/** One effect and one answer for all: the first, and replays that say so. */
const sameAnswer = (t: Test, replies: readonly Reply[], status: number): void => {
  t.same(tally(replies), { [status]: replies.length })
  const [first] = replies
  t.ok(
    replies.every(({ body }) => JSON.stringify(body) === JSON.stringify(first?.body)),
    'the same answer for all',
  )
  const fresh = replies.filter(({ headers }) => headers['idempotent-replayed'] !== 'true')
  t.equal(fresh.length, 1, 'all but one are marked as replays')
}

const reused = { status: 422, body: { code: 'idempotency_key_reused' } }

/** The same Idempotency-Key has one effect, and the first answer for everybody. */
export const onceCases: readonly Case[] = [
  [
    'the same key 100 at once charges once; another body is refused',
    async (t, { call, open, balanceOf }) => {
      await open('once', 100)
      const path = '/v1/accounts/once/charges'
      const options = { idempotencyKey: 'order-1' }
      const body = { amount: 7, metadata: { order: 1 } }
      const replies = await atOnce(100, () => call('POST', path, body, options))
      sameAnswer(t, replies, 201)
      t.equal(await balanceOf('once'), 93)
      const others = await atOnce(20, () => call('POST', path, { amount: 8 }, options))
      for (const other of others) t.match(other, reused)
      const quoted = await call('POST', path, body, { idempotencyKey: '"order-1"' })
      t.equal(quoted.headers['idempotent-replayed'], 'true', 'quoted, it is the same key')
      t.match(await call('POST', '/v1/accounts/once/grants', { amount: 7 }, options), reused)
      t.match((await call('GET', '/v1/accounts/once/balance')).body, { balance: 93, seq: 2 })
    },
  ],
  [
    'two bodies under one new key at once: one of them has its effect, the other is refused',
    async (t, { call, open, balanceOf }) => {
      await open('rivals', 100)
      const replies = await atOnce(50, (i) =>
        call(
          'POST',
          '/v1/accounts/rivals/charges',
          { amount: 10 + (i % 2) },
          { idempotencyKey: 'x' },
        ),
      )
      t.same(tally(replies), { 201: 25, 422: 25 })
      const won = replies.find(({ status }) => status === 201)?.body.amount
      t.equal(await balanceOf('rivals'), 100 + won)
    },
  ],
  [
    'the same key on two accounts is two keys',
    async (t, { call, open, balanceOf }) => {
      await Promise.all([open('mine', 50), open('yours', 50)])
      const replies = await atOnce(60, (i) =>
        call(
          'POST',
          `/v1/accounts/${i % 2 === 0 ? 'mine' : 'yours'}/charges`,
          { amount: 5 },
          { idempotencyKey: 'shared' },
        ),
      )
      sameAnswer(
        t,
        replies.filter((_, i) => i % 2 === 0),
        201,
      )
      sameAnswer(
        t,
        replies.filter((_, i) => i % 2 === 1),
        201,
      )
      t.same([await balanceOf('mine'), await balanceOf('yours')], [45, 45])
    },
  ],
  [
    'grants, holds, captures and transfers: the same key 50 at once, one effect each',
    async (t, { call, open, balanceOf }) => {
      await Promise.all([open('giver', 100), open('taker')])
      const many = (path: string, body: unknown, idempotencyKey: string) =>
        atOnce(50, () => call('POST', path, body, { idempotencyKey }))
      const account = '/v1/accounts/giver'
      const terms = { amount: 20, source: 'monthly' }
      sameAnswer(t, await many(`${account}/grants`, terms, 'g'), 201)
      const holds = await many(`${account}/holds`, { amount: 30, ttlSeconds: 60 }, 'h')
      sameAnswer(t, holds, 201)
      const hold = `${account}/holds/${holds[0]?.body.holdId}`
      sameAnswer(t, await many(`${hold}/capture`, { amount: 10 }, 'c'), 200)
      t.match(await call('POST', `${hold}/release`, {}, { idempotencyKey: 'c' }), reused)
      const transfer = { from: 'giver', to: 'taker', amount: 40 }
      sameAnswer(t, await many('/v1/transfers', transfer, 't'), 201)
      t.same([await balanceOf('giver'), await balanceOf('taker')], [70, 40])
    },
  ],
  [
    'in one bulk call, too, a key has one effect',
    async (t, { call, open, balanceOf }) => {
      await open('bulk-once', 100)
      const operation = { type: 'charge', accountId: 'bulk-once', amount: 9, idempotencyKey: 'k' }
      const operations = Array.from({ length: 100 }, () => operation)
      const [one, two] = await atOnce(2, () => call('POST', '/v1/operations', { operations }))
      const outcomes = [...(one?.body.outcomes ?? []), ...(two?.body.outcomes ?? [])]
      t.ok(outcomes.every((o) => o.status === 201 && o.seq === 2))
      t.equal(outcomes.filter((o) => o.replayed !== true).length, 1)
      const single = await call(
        'POST',
        '/v1/accounts/bulk-once/charges',
        { amount: 9 },
        { idempotencyKey: 'k' },
      )
      t.equal(single.headers['idempotent-replayed'], 'true')
      t.equal(await balanceOf('bulk-once'), 91)
    },
  ],
  [
    'the key of a refused operation stays usable',
    async (t, { call, open, balanceOf }) => {
      await open('refused', 5)
      const charge = () =>
        call('POST', '/v1/accounts/refused/charges', { amount: 6 }, { idempotencyKey: 'r' })
      t.same(tally(await atOnce(20, charge)), { 402: 20 })
      await call('POST', '/v1/accounts/refused/grants', { amount: 1 })
      sameAnswer(t, await atOnce(20, charge), 201)
      t.equal(await balanceOf('refused'), 0)
    },
  ],
  [
    'account PUT: the same key 50 at once gives the first answer to all',
    async (t, { call }) => {
      const put = (email: string) =>
        call('PUT', '/v1/accounts/put-once', { email }, { idempotencyKey: 'put' })
      const replies = await atOnce(50, () => put('put@example.com'))
      sameAnswer(t, replies, 201)
      t.match(await put('other@example.com'), reused)
      t.match((await call('GET', '/v1/accounts/put-once')).body, { email: 'put@example.com' })
    },
  ],
  [
    'prices: the same key 50 at once sets the price once',
    async (t, { call }) => {
      const path = '/v1/prices/once.price'
      const put = (cost: number) => call('PUT', path, { cost }, { idempotencyKey: 'price' })
      const replies = await atOnce(50, () => put(4))
      sameAnswer(t, replies, 200)
      t.match(await put(5), reused)
      await call('PUT', path, { cost: 6 })
      t.match((await put(4)).body, { cost: 4 }, 'a replay tells the first answer')
      t.match((await call('GET', path)).body, { cost: 6 }, 'and has no second effect')
    },
  ],
  [
    'API keys: the same key 50 at once makes one, and shows it once',
    async (t, { call, sql }) => {
      const body = { name: 'made once', scopes: ['credits:read'] }
      const replies = await atOnce(50, () =>
        call('POST', '/v1/api-keys', body, { idempotencyKey: 'api-key' }),
      )
      t.same(tally(replies), { 201: 1, 409: 49 })
      for (const { body } of replies.filter(({ status }) => status === 409)) {
        t.equal(body.code, 'secret_not_replayed')
      }
      const made = await sql(`select id from api_keys where name = 'made once'`)
      t.equal(made.length, 1)
      const other = { ...body, scopes: ['admin'] }
      t.match(await call('POST', '/v1/api-keys', other, { idempotencyKey: 'api-key' }), {
        status: 422,
      })
    },
  ],
]
