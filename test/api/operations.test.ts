import t from 'tap'
import { openApp } from '../helpers/app.js'

t.test('operations are done in their order, each with an outcome of its own', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  await open('b')
  await call('PUT', '/v1/prices/image', { cost: 7 })
  const { body: charge } = await call('POST', '/v1/accounts/a/charges', { amount: 10 })
  const { grants } = (await call('GET', '/v1/accounts/a/grants')).body
  const hold = async () =>
    (await call('POST', '/v1/accounts/a/holds', { amount: 5, ttlSeconds: 60 })).body.holdId
  const [one, two, three] = [await hold(), await hold(), await hold()]
  const operations = [
    { type: 'grant', accountId: 'b', amount: 20 },
    { type: 'charge', accountId: 'b', amount: 20, metadata: { n: 1 } },
    { type: 'charge', accountId: 'b', amount: 1 },
    { type: 'charge', accountId: 'a', action: 'image', quantity: 2 },
    { type: 'refund', accountId: 'a', transactionId: charge.transactionId, amount: 4 },
    { type: 'hold', accountId: 'a', amount: 5, ttlSeconds: 60 },
    { type: 'capture', accountId: 'a', holdId: one, amount: 3 },
    { type: 'release', accountId: 'a', holdId: two },
    { type: 'extend', accountId: 'a', holdId: three, ttlSeconds: 600 },
    { type: 'adjustment', accountId: 'a', amount: -1, reason: 'x' },
    { type: 'transfer', accountId: 'a', to: 'b', amount: 9 },
    { type: 'revoke', accountId: 'a', grantId: grants[0].grantId },
  ]
  const { status, body } = await call('POST', '/v1/operations', { operations })
  t.equal(status, 200)
  t.match(body.outcomes, [
    { status: 201, type: 'grant', amount: 20, balanceAfter: 20 },
    { status: 201, type: 'charge', amount: -20, balanceAfter: 0, metadata: { n: 1 } },
    { status: 402, code: 'insufficient_credits', required: 1, available: 0 },
    { status: 201, type: 'charge', amount: -14 },
    { status: 201, type: 'refund', amount: 4 },
    { status: 201, type: 'hold', holdStatus: 'active', amountHeld: 5 },
    { status: 200, type: 'capture', holdStatus: 'captured', amount: -3 },
    { status: 200, type: 'release', holdStatus: 'released' },
    { status: 200, type: 'extend', holdStatus: 'active' },
    { status: 201, type: 'adjustment', amount: -1 },
    { status: 201, type: 'transfer_out', amount: -9 },
    { status: 201, type: 'revoke' },
  ])
  t.equal((await call('GET', '/v1/accounts/b/balance')).body.balance, 9)
  t.same((await call('GET', '/v1/reconcile')).body.mismatches, [])
})

t.test('an operation that is wrong spoils no neighbour and loses none', async (t) => {
  const service = await openApp(t)
  const { call, open } = service
  await open('a', 1_000)
  const good = { type: 'charge', accountId: 'a', amount: 1 }
  const proto = JSON.parse('{"type":"charge","accountId":"a","amount":1,"__proto__":{"x":1}}')
  const wrong: [unknown, number][] = [
    [null, 400],
    [[], 400],
    ['charge', 400],
    [{}, 400],
    [{ type: 'gift', accountId: 'a' }, 400],
    [{ ...good, amount: 0 }, 400],
    [{ ...good, amount: '1' }, 400],
    [{ ...good, more: 1 }, 400],
    [{ ...good, accountId: '-' }, 400],
    [{ ...good, accountId: 'none' }, 404],
    [{ ...good, idempotencyKey: '' }, 400],
    [{ ...good, metadata: { text: 'a\u0000b' } }, 400],
    [{ ...good, metadata: { text: '\ud800' } }, 400],
    [{ ...good, metadata: { text: 'x'.repeat(9_000) } }, 400],
    [proto, 400],
    [{ type: 'refund', accountId: 'a', transactionId: 'txn_x' }, 404],
    [{ type: 'release', accountId: 'a', holdId: 'hold_x' }, 404],
    [{ type: 'charge', accountId: 'a', action: 'none' }, 404],
    [{ type: 'transfer', accountId: 'a', to: 'a', amount: 1 }, 400],
  ]
  const operations = wrong.flatMap(([entry]) => [good, entry])
  const { body } = await call('POST', '/v1/operations', { operations })
  const { outcomes } = body
  t.equal(outcomes.length, operations.length)
  for (const [index, [entry, status]] of wrong.entries()) {
    t.equal(outcomes[2 * index].status, 201)
    const outcome = outcomes[2 * index + 1]
    t.equal(outcome.status, status, JSON.stringify(entry))
    if (status === 400 && outcome.errors) {
      t.match(outcome.errors[0].path, new RegExp(`^operations\\[${2 * index + 1}\\]`))
    }
  }
  t.equal((await call('GET', '/v1/accounts/a/balance')).body.balance, 1_000 - wrong.length)
  const { entries } = (await call('GET', '/v1/audit-log?status=failed&limit=200')).body
  t.equal(entries.length, wrong.length, 'each refusal is in the audit log')
})

t.test('a repeated bulk call repeats no operation', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  const operations = [
    { type: 'charge', accountId: 'a', amount: 1 },
    { type: 'charge', accountId: 'a', amount: 1 },
    { type: 'charge', accountId: 'a', amount: 1, idempotencyKey: 'mine' },
    { type: 'charge', accountId: 'a', amount: 1, idempotencyKey: 'mine' },
    { type: 'charge', accountId: 'a', amount: 2, idempotencyKey: 'mine' },
    { type: 'charge', accountId: 'a', amount: 999 },
  ]
  const send = () => call('POST', '/v1/operations', { operations }, { idempotencyKey: 'bulk' })
  const first = (await send()).body.outcomes
  t.match(first, [
    { status: 201, replayed: undefined },
    { status: 201, replayed: undefined },
    { status: 201, replayed: undefined },
    { status: 201, replayed: true },
    { status: 422, code: 'idempotency_key_reused' },
    { status: 402 },
  ])
  t.equal(first[3].transactionId, first[2].transactionId)
  const again = (await send()).body.outcomes
  t.match(
    again.map(({ status, replayed }: { status: number; replayed?: boolean }) => [status, replayed]),
    [[201, true], [201, true], [201, true], [201, true], [422], [402]],
  )
  t.equal((await call('GET', '/v1/accounts/a/balance')).body.balance, 97)
  const single = { amount: 1 }
  const alone = await call('POST', '/v1/accounts/a/charges', single, { idempotencyKey: 'mine' })
  t.equal(alone.headers['idempotent-replayed'], 'true', 'the same operation on its own')
})

t.test('a bulk call has 1 to 1,000 operations and may take 1 MiB', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 10_000)
  const charges = (count: number, metadata = {}) => ({
    operations: Array.from({ length: count }, () => ({
      type: 'charge',
      accountId: 'a',
      amount: 1,
      metadata,
    })),
  })
  t.equal((await call('POST', '/v1/operations', charges(0))).status, 400)
  t.equal((await call('POST', '/v1/operations', charges(1_001))).status, 400)
  t.equal((await call('POST', '/v1/operations', {})).status, 400)
  const full = await call('POST', '/v1/operations', charges(1_000))
  t.equal(
    full.body.outcomes.filter(({ status }: { status: number }) => status === 201).length,
    1_000,
  )
  const large = charges(150, { text: 'x'.repeat(6_800) })
  t.ok(JSON.stringify(large).length > 1_000_000)
  t.equal((await call('POST', '/v1/operations', large)).status, 200)
  const beyond = charges(160, { text: 'x'.repeat(6_800) })
  t.match(await call('POST', '/v1/operations', beyond), {
    status: 413,
    body: { code: 'payload_too_large' },
  })
})
