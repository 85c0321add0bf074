import t from 'tap'
import { openApp } from '../helpers/app.js'

t.test('a charge tells what it took from which grant', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  const metadata = { conversation: 'c-17', nested: { list: [1, 'two', null, true] } }
  const charged = await call('POST', '/v1/accounts/a/charges', {
    amount: 30,
    action: 'summary',
    metadata,
  })
  t.equal(charged.status, 201)
  const { grants } = (await call('GET', '/v1/accounts/a/grants')).body
  t.match(charged.body, {
    accountId: 'a',
    seq: 2,
    type: 'charge',
    action: 'summary',
    amount: -30,
    balanceBefore: 100,
    balanceAfter: 70,
    grants: [{ grantId: grants[0].grantId, source: 'bonus', amount: 30 }],
    metadata,
  })
  t.match(grants[0], { amount: 100, remaining: 70, held: 0, priority: 50, expiresAt: null })
  const read = await call('GET', `/v1/transactions/${charged.body.transactionId}`)
  t.same(read.body, charged.body)
  const short = await call('POST', '/v1/accounts/a/charges', { amount: 71 })
  t.match(short, {
    status: 402,
    body: { code: 'insufficient_credits', required: 71, available: 70 },
  })
  t.equal((await call('POST', '/v1/accounts/a/charges', { amount: 70 })).status, 201)
})

t.test('a dry run answers 200 with what a charge would do, and does nothing', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  const path = '/v1/accounts/a/charges'
  const estimate = await call('POST', path, { amount: 30, dryRun: true }, { idempotencyKey: 'k' })
  t.match(estimate, {
    status: 200,
    body: { dryRun: true, amount: -30, balanceBefore: 100, balanceAfter: 70 },
  })
  t.equal((await call('POST', path, { amount: 101, dryRun: true })).status, 402)
  t.match((await call('GET', '/v1/accounts/a/balance')).body, { balance: 100, seq: 1 })
  t.equal((await call('POST', path, { amount: 30 }, { idempotencyKey: 'k' })).status, 201)
})

t.test('a charge by the price list pays the price of the action', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  await call('PUT', '/v1/prices/image', { cost: 7 })
  await call('PUT', '/v1/prices/chat', { formula: 'tokens * 0.001 + 10' })
  const path = '/v1/accounts/a/charges'
  t.match(await call('POST', path, { action: 'image', quantity: 3 }), {
    status: 201,
    body: { amount: -21, action: 'image' },
  })
  const chat = { action: 'chat', variables: { tokens: 3500 } }
  t.match(await call('POST', path, chat), { status: 201, body: { amount: -14 } })
  t.match(await call('POST', path, { action: 'chat' }), {
    status: 422,
    body: { code: 'missing_variable' },
  })
  t.match(await call('POST', path, { action: 'none' }), {
    status: 404,
    body: { code: 'action_not_found' },
  })
  for (const body of [
    {},
    { quantity: 2 },
    { amount: 1, quantity: 2 },
    { amount: 1, variables: {} },
    { action: '' },
    { action: 'image', quantity: 0 },
    { action: 'image', variables: { tokens: '5' } },
  ]) {
    t.equal((await call('POST', path, body)).status, 400, JSON.stringify(body))
  }
})

t.test('refunds of a charge never exceed it', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  await open('b', 100)
  const charged = await call('POST', '/v1/accounts/a/charges', { amount: 30 })
  const { transactionId } = charged.body
  const path = '/v1/accounts/a/refunds'
  const part = await call('POST', path, { transactionId, amount: 10, reason: 'half done' })
  t.match(part, {
    status: 201,
    body: { type: 'refund', amount: 10, refundOf: transactionId, reason: 'half done' },
  })
  t.match(await call('POST', path, { transactionId, amount: 21 }), {
    status: 422,
    body: { code: 'refund_exceeds_charge', refundable: 20 },
  })
  t.match((await call('POST', path, { transactionId })).body, { amount: 20, balanceAfter: 100 })
  t.equal((await call('POST', path, { transactionId })).status, 422)
  const others = ['txn_x', 'nonsense', part.body.transactionId, 'hold_MjE6YQ']
  for (const id of others) {
    const reply = await call('POST', path, { transactionId: id })
    t.match(reply, { status: 404, body: { code: 'transaction_not_found' } }, id)
  }
  const foreign = await call('POST', '/v1/accounts/b/refunds', { transactionId })
  t.match(foreign, { status: 404, body: { code: 'transaction_not_found' } })
})

t.test('a monthly grant expires a calendar month from now unless it says otherwise', async (t) => {
  const { call, open } = await openApp(t)
  await open('a')
  const path = '/v1/accounts/a/grants'
  const monthly = await call('POST', path, { amount: 5, source: 'monthly' })
  t.match(monthly, { status: 201, body: { type: 'grant', amount: 5, grantId: /^gr_/ } })
  await call('POST', path, { amount: 5, source: 'purchased', priority: 7 })
  const dated = { amount: 5, source: 'monthly', expiresAt: '2999-12-31T23:00:00-01:00' }
  await call('POST', path, dated)
  const { grants } = (await call('GET', path)).body
  t.match(grants, [
    { source: 'monthly', expiresAt: '3000-01-01T00:00:00.000Z', priority: 50 },
    { source: 'purchased', expiresAt: null, priority: 7 },
    { source: 'monthly', revoked: false },
  ])
  const days = (Date.parse(grants[2].expiresAt) - Date.parse(grants[2].createdAt)) / 86_400_000
  t.ok(days >= 28 && days <= 31, `${days} days`)
  t.match((await call('GET', '/v1/accounts/a/balance')).body.buckets, {
    monthly: 10,
    bonus: 0,
    purchased: 5,
  })
  for (const wrong of [
    { expiresAt: '2001-01-01T00:00:00Z' },
    { expiresAt: '2999-02-30T00:00:00Z' },
    { expiresAt: '2999-01-01' },
    { expiresAt: 5 },
    { priority: -1 },
    { priority: 1001 },
    { priority: 1.5 },
    { source: 'gift' },
    { reason: '' },
    { reason: 'a\u0000b' },
    { reason: 'half a pair \ud800' },
  ]) {
    t.equal((await call('POST', path, { amount: 5, ...wrong })).status, 400, JSON.stringify(wrong))
  }
})

t.test('a repeated grant is answered although its expiry has passed meanwhile', async (t) => {
  const { call, open } = await openApp(t)
  await open('a')
  const expiresAt = new Date(Date.now() + 500).toISOString()
  const send = () =>
    call('POST', '/v1/accounts/a/grants', { amount: 5, expiresAt }, { idempotencyKey: 'k' })
  const first = await send()
  t.equal(first.status, 201)
  await new Promise((resolve) => setTimeout(resolve, 600))
  const again = await send()
  t.same(again.body, first.body)
  t.equal(again.headers['idempotent-replayed'], 'true')
})

t.test('a revoked grant is gone, once', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  await open('b', 100)
  const { grants } = (await call('GET', '/v1/accounts/a/grants')).body
  const path = `/v1/accounts/a/grants/${grants[0].grantId}`
  const revoked = await call('DELETE', path, { reason: 'mistake' })
  t.match(revoked, {
    status: 201,
    body: { type: 'revoke', amount: -100, grantId: grants[0].grantId, reason: 'mistake' },
  })
  t.match(await call('DELETE', path), { status: 409, body: { code: 'grant_revoked' } })
  t.match((await call('GET', '/v1/accounts/a/grants')).body.grants, [
    { remaining: 0, revoked: true },
  ])
  for (const id of [`b/grants/${grants[0].grantId}`, 'a/grants/gr_x', 'a/grants/txn_MTph']) {
    const reply = await call('DELETE', `/v1/accounts/${id}`)
    t.match(reply, { status: 404, body: { code: 'grant_not_found' } }, id)
  }
})

t.test('a hold is reserved, captured in part, and its rest comes free', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  await open('b', 100)
  const held = await call('POST', '/v1/accounts/a/holds', {
    amount: 75,
    action: 'render',
    ttlSeconds: 60,
    metadata: { job: 1 },
  })
  t.match(held, {
    status: 201,
    body: { type: 'hold', amount: 0, amountHeld: 75, status: 'active', holdId: /^hold_/ },
  })
  const { holdId } = held.body
  t.match((await call('GET', '/v1/accounts/a/balance')).body, {
    balance: 100,
    available: 25,
    held: 75,
  })
  t.match(await call('POST', '/v1/accounts/a/charges', { amount: 26 }), { status: 402 })
  const extended = await call('POST', `/v1/accounts/a/holds/${holdId}/extend`, { ttlSeconds: 600 })
  t.match(extended, { status: 200, body: { type: 'extend', holdId, status: 'active' } })
  t.ok(extended.body.expiresAt > held.body.expiresAt)
  const captured = await call('POST', `/v1/accounts/a/holds/${holdId}/capture`, { amount: 60 })
  t.match(captured, {
    status: 200,
    body: { type: 'capture', action: 'render', amount: -60, amountHeld: 75, status: 'captured' },
  })
  t.match((await call('GET', '/v1/accounts/a/balance')).body, { available: 40, held: 0 })
  const view = await call('GET', `/v1/accounts/a/holds/${holdId}`)
  t.match(view.body, {
    status: 'captured',
    amountHeld: 75,
    amountCaptured: 60,
    settledBy: captured.body.transactionId,
  })
  for (const act of ['capture', 'release', 'extend']) {
    const body = act === 'extend' ? { ttlSeconds: 1 } : {}
    const reply = await call('POST', `/v1/accounts/a/holds/${holdId}/${act}`, body)
    t.match(reply, { status: 409, body: { code: 'hold_not_active' } }, act)
  }
  for (const id of [`b/holds/${holdId}`, 'a/holds/hold_x', 'a/holds/txn_MTph']) {
    t.equal((await call('GET', `/v1/accounts/${id}`)).body.code, 'hold_not_found', id)
    const released = await call('POST', `/v1/accounts/${id}/release`)
    t.match(released, { status: 404, body: { code: 'hold_not_found' } }, id)
  }
})

t.test('a hold can be priced, captured by what the job came to, and given back', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  await call('PUT', '/v1/prices/chat', { formula: 'tokens * 0.01' })
  const path = '/v1/accounts/a/holds'
  const body = { action: 'chat', variables: { tokens: 5000 }, ttlSeconds: 60 }
  const held = await call('POST', path, body)
  t.match(held.body, { amountHeld: 50, action: 'chat' })
  const above = { variables: { tokens: 6000 } }
  t.match(await call('POST', `${path}/${held.body.holdId}/capture`, above), {
    status: 200,
    body: { amount: -60, balanceAfter: 40 },
  })
  const other = await call('POST', path, { amount: 40, ttlSeconds: 60 })
  const beyond = await call('POST', `${path}/${other.body.holdId}/capture`, { amount: 41 })
  t.match(beyond, { status: 402, body: { required: 41, available: 40 } })
  t.match(await call('POST', `${path}/${other.body.holdId}/release`), {
    status: 200,
    body: { type: 'release', amount: 0, status: 'released' },
  })
  const { holds } = (await call('GET', path)).body
  t.match(holds, [{ status: 'released' }, { status: 'captured' }])
  t.match((await call('GET', `${path}?status=captured`)).body.holds.length, 1)
  for (const wrong of [
    { amount: 1 },
    { amount: 1, ttlSeconds: 0 },
    { amount: 1, ttlSeconds: 2_592_001 },
    { ttlSeconds: 5 },
  ]) {
    t.equal((await call('POST', path, wrong)).status, 400, JSON.stringify(wrong))
  }
  t.equal((await call('GET', `${path}?status=old`)).status, 400)
})

t.test('an adjustment adds or takes, with a reason', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  const path = '/v1/accounts/a/adjustments'
  t.match(await call('POST', path, { amount: -30, reason: 'counted twice' }), {
    status: 201,
    body: { type: 'adjustment', amount: -30, balanceAfter: 70, reason: 'counted twice' },
  })
  t.match((await call('POST', path, { amount: 5, reason: 'sorry' })).body, {
    amount: 5,
    grantId: /^gr_/,
  })
  t.match(await call('POST', path, { amount: -76, reason: 'x' }), { status: 402 })
  t.equal((await call('POST', path, { amount: 5 })).status, 400)
})

t.test('a transfer takes here and gives there', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  await open('b')
  const given = { amount: 20, source: 'purchased', priority: 3 }
  await call('POST', '/v1/accounts/a/grants', given)
  const sent = await call(
    'POST',
    '/v1/transfers',
    { from: 'a', to: 'b', amount: 30, metadata: { gift: true } },
    { idempotencyKey: 'k' },
  )
  t.match(sent, {
    status: 201,
    body: { accountId: 'a', type: 'transfer_out', amount: -30, to: 'b', metadata: { gift: true } },
  })
  const { grants } = (await call('GET', '/v1/accounts/b/grants')).body
  t.match(grants, [
    { source: 'bonus', amount: 10 },
    { source: 'purchased', amount: 20, priority: 3 },
  ])
  const { transactions } = (await call('GET', '/v1/accounts/b/transactions')).body
  t.match(transactions[0], { type: 'transfer_in', from: 'a' })
  await call('DELETE', '/v1/accounts/b')
  const again = { from: 'a', to: 'b', amount: 30, metadata: { gift: true } }
  const replayed = await call('POST', '/v1/transfers', again, { idempotencyKey: 'k' })
  t.same(replayed.body, sent.body)
  const self = await call('POST', '/v1/transfers', { from: 'a', to: 'a', amount: 1 })
  t.match(self, { status: 400, body: { errors: [{ path: 'to' }] } })
})

t.test('twenty holds of 75 at once on 500 credits: six are made', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 500)
  const replies = await Promise.all(
    Array.from({ length: 20 }, () =>
      call('POST', '/v1/accounts/a/holds', { amount: 75, ttlSeconds: 60 }),
    ),
  )
  t.equal(replies.filter(({ status }) => status === 201).length, 6)
  t.equal(replies.filter(({ status }) => status === 402).length, 14)
  t.same((await call('GET', '/v1/reconcile')).body, { accounts: 1, mismatches: [] })
})
