import t from 'tap'
import { openApp } from '../helpers/app.js'

t.test('opening an account twice opens it once, and answers 201 then 200', async (t) => {
  const { call } = await openApp(t, { environment: { SIGNUP_BONUS: '25' } })
  const first = await call('PUT', '/v1/accounts/ada@example.com', { email: 'Ada@Example.com' })
  t.equal(first.status, 201)
  t.match(first.body, {
    accountId: 'ada@example.com',
    email: 'Ada@Example.com',
    status: 'active',
    membershipTier: null,
    membershipExpiresAt: null,
    balance: 25,
    metadata: null,
  })
  t.equal(first.body.updatedAt, first.body.createdAt, 'nothing has changed since')
  t.same((await call('GET', '/v1/accounts/ada@example.com')).body, first.body)
  const plain = await call('PUT', '/v1/accounts/plain')
  t.equal(plain.body.updatedAt, plain.body.createdAt, 'without bonus and profile')
  const again = await call('PUT', '/v1/accounts/ada@example.com', { metadata: { a: [1] } })
  t.equal(again.status, 200)
  t.match(again.body, { email: 'Ada@Example.com', balance: 25, metadata: { a: [1] } })
  t.equal(again.body.createdAt, first.body.createdAt)
  t.ok(again.body.updatedAt > first.body.updatedAt, 'a change shows')
  const cleared = await call('PUT', '/v1/accounts/ada@example.com', { email: null, metadata: null })
  t.match(cleared.body, { email: null, metadata: null })
  t.equal((await call('PUT', '/v1/accounts/ada@example.com')).body.metadata, null)
})

t.test('fifty who open one account at once give it one signup bonus', async (t) => {
  const { call } = await openApp(t, { environment: { SIGNUP_BONUS: '25' } })
  const replies = await Promise.all(Array.from({ length: 50 }, () => call('PUT', '/v1/accounts/a')))
  t.equal(replies.filter(({ status }) => status === 201).length, 1)
  t.equal(replies.filter(({ status }) => status === 200).length, 49)
  t.equal((await call('GET', '/v1/accounts/a/balance')).body.balance, 25)
})

t.test('account ids are 1 to 128 of the allowed characters', async (t) => {
  const { call } = await openApp(t)
  for (const id of ['a', '0', `a${'.'.repeat(127)}`, 'A-z_9:@x.y']) {
    t.equal((await call('PUT', `/v1/accounts/${encodeURIComponent(id)}`)).status, 201, id)
    t.equal((await call('GET', `/v1/accounts/${encodeURIComponent(id)}`)).body.accountId, id)
  }
  for (const id of ['-a', '.a', 'a b', 'ä', 'a/b', 'a\u0000', `a${'.'.repeat(128)}`]) {
    const reply = await call('PUT', `/v1/accounts/${encodeURIComponent(id)}`)
    t.match(reply, { status: 400, body: { code: 'invalid_request' } }, JSON.stringify(id))
  }
  t.equal((await call('PUT', `/v1/accounts/${'a'.repeat(600)}`)).status, 400)
  t.equal((await call('GET', '/v1/accounts/%zz')).status, 400)
})

t.test('accounts are listed by id, by e-mail in any letter case and by current tier', async (t) => {
  const { call } = await openApp(t)
  for (const id of ['c', 'a', 'e', 'b', 'd']) {
    await call('PUT', `/v1/accounts/${id}`, { email: `${id.toUpperCase()}@Example.com` })
  }
  const first = await call('GET', '/v1/accounts?limit=2')
  t.same(first.body.accounts.map(idOf), ['a', 'b'])
  const second = await call('GET', `/v1/accounts?limit=2&cursor=${first.body.nextCursor}`)
  t.same(second.body.accounts.map(idOf), ['c', 'd'])
  const third = await call('GET', `/v1/accounts?limit=2&cursor=${second.body.nextCursor}`)
  t.same(third.body, { accounts: third.body.accounts, nextCursor: null })
  t.same(third.body.accounts.map(idOf), ['e'])
  t.same((await call('GET', '/v1/accounts?email=c@EXAMPLE.com')).body.accounts.map(idOf), ['c'])

  await call('PUT', '/v1/tiers', { tiers: [{ id: 'pro', level: 1 }] })
  await call('PUT', '/v1/accounts/a/membership', { tier: 'pro' })
  await call('PUT', '/v1/accounts/b/membership', { tier: 'pro', expiresAt: '2001-01-01T00:00:00Z' })
  t.same((await call('GET', '/v1/accounts?tier=pro')).body.accounts.map(idOf), ['a'])
  for (const query of ['limit=0', 'limit=201', 'limit=x', 'cursor=e30', 'cursor=%00', 'email=x']) {
    t.equal((await call('GET', `/v1/accounts?${query}`)).status, 400, query)
  }
})

t.test('a membership counts until it expires and changes no credit', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 10)
  await call('PUT', '/v1/tiers', { tiers: [{ id: 'pro', level: 1 }] })
  const path = '/v1/accounts/a/membership'
  const set = await call('PUT', path, { tier: 'pro', expiresAt: '2999-01-01T01:00:00+01:00' })
  t.match(set, {
    status: 200,
    body: { membershipTier: 'pro', membershipExpiresAt: '2999-01-01T00:00:00.000Z', balance: 10 },
  })
  t.match((await call('PUT', path, { tier: 'pro' })).body, { membershipExpiresAt: null })
  const past = await call('PUT', path, { tier: 'pro', expiresAt: '2001-01-01T00:00:00Z' })
  t.match(past.body, { membershipTier: null, membershipExpiresAt: '2001-01-01T00:00:00.000Z' })
  t.match((await call('PUT', path, { tier: null })).body, { membershipExpiresAt: null })
  t.match(await call('PUT', path, { tier: 'gold' }), {
    status: 400,
    body: { errors: [{ path: 'tier' }] },
  })
  t.equal((await call('PUT', path, {})).status, 400)
  t.match(await call('PUT', '/v1/accounts/none/membership', { tier: null }), {
    status: 404,
    body: { code: 'account_not_found' },
  })
})

t.test('a frozen account does not spend until it is unfrozen', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  await open('b')
  const { body: held } = await call('POST', '/v1/accounts/a/holds', { amount: 20, ttlSeconds: 60 })
  t.match(await call('POST', '/v1/accounts/a/freeze', { reason: 'check' }), {
    status: 200,
    body: { status: 'frozen' },
  })
  const spending = [
    ['/v1/accounts/a/charges', { amount: 1 }],
    ['/v1/accounts/a/holds', { amount: 1, ttlSeconds: 60 }],
    [`/v1/accounts/a/holds/${held.holdId}/extend`, { ttlSeconds: 60 }],
    [`/v1/accounts/a/holds/${held.holdId}/capture`, { amount: 21 }],
    ['/v1/transfers', { from: 'a', to: 'b', amount: 1 }],
  ] as const
  for (const [path, body] of spending) {
    t.match(await call('POST', path, body), { status: 409, body: { code: 'account_frozen' } }, path)
  }
  t.equal((await call('POST', '/v1/accounts/a/grants', { amount: 1 })).status, 201)
  t.equal((await call('POST', `/v1/accounts/a/holds/${held.holdId}/capture`)).status, 200)
  t.match(await call('POST', '/v1/accounts/a/unfreeze'), {
    status: 200,
    body: { status: 'active' },
  })
  t.equal((await call('POST', '/v1/accounts/a/charges', { amount: 1 })).status, 201)
})

t.test('a closed account releases its holds, refuses writes and can still be read', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  await open('b', 10)
  await call('POST', '/v1/accounts/a/holds', { amount: 20, ttlSeconds: 60 })
  const closed = await call('DELETE', '/v1/accounts/a', { reason: 'asked for it' })
  t.match(closed, { status: 200, body: { status: 'closed', balance: 100 } })
  t.match((await call('GET', '/v1/accounts/a/balance')).body, { balance: 100, held: 0 })
  t.equal((await call('DELETE', '/v1/accounts/a')).status, 200)
  const writes = [
    ['PUT', '/v1/accounts/a', {}],
    ['POST', '/v1/accounts/a/charges', { amount: 1 }],
    ['POST', '/v1/accounts/a/grants', { amount: 1 }],
    ['POST', '/v1/accounts/a/adjustments', { amount: 1, reason: 'x' }],
    ['POST', '/v1/accounts/a/freeze', {}],
    ['PUT', '/v1/accounts/a/membership', { tier: null }],
    ['POST', '/v1/transfers', { from: 'a', to: 'b', amount: 1 }],
    ['POST', '/v1/transfers', { from: 'b', to: 'a', amount: 1 }],
  ] as const
  for (const [method, path, body] of writes) {
    const reply = await call(method, path, body)
    t.match(reply, { status: 409, body: { code: 'account_closed' } }, `${method} ${path}`)
  }
  t.equal((await call('GET', '/v1/accounts/a/transactions')).body.transactions.length, 3)
})

t.test('what is asked of an account that was never opened is 404', async (t) => {
  const { call, open } = await openApp(t)
  await open('b', 1)
  const calls = [
    ['GET', '/v1/accounts/none'],
    ['DELETE', '/v1/accounts/none'],
    ['GET', '/v1/accounts/none/balance'],
    ['GET', '/v1/accounts/none/balance?at=2020-01-01T00:00:00Z'],
    ['GET', '/v1/accounts/none/transactions'],
    ['GET', '/v1/accounts/none/grants'],
    ['GET', '/v1/accounts/none/holds'],
    ['GET', '/v1/accounts/none/usage'],
    ['POST', '/v1/accounts/none/charges', { amount: 1 }],
    ['POST', '/v1/accounts/none/grants', { amount: 1 }],
    ['POST', '/v1/accounts/none/holds', { amount: 1, ttlSeconds: 1 }],
    ['POST', '/v1/accounts/none/adjustments', { amount: 1, reason: 'x' }],
    ['POST', '/v1/accounts/none/freeze'],
    ['POST', '/v1/accounts/none/unfreeze'],
    ['POST', '/v1/transfers', { from: 'b', to: 'none', amount: 1 }],
    ['POST', '/v1/transfers', { from: 'none', to: 'b', amount: 1 }],
  ] as const
  for (const [method, path, body] of calls) {
    const reply = await call(method, path, body)
    t.match(reply, { status: 404, body: { code: 'account_not_found' } }, `${method} ${path}`)
  }
})

t.test('a balance at an instant is what it was then', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  const charged = await call('POST', '/v1/accounts/a/charges', { amount: 30 })
  const at = (ms: number) => {
    const instant = new Date(Date.parse(charged.body.createdAt) + ms).toISOString()
    return call('GET', `/v1/accounts/a/balance?at=${instant}`)
  }
  t.match((await at(0)).body, { balance: 70, available: 70, seq: 2, buckets: { bonus: 70 } })
  t.match((await at(-1)).body, { balance: 100, seq: 1 })
  t.match((await at(1_000_000)).body, { balance: 70, seq: 2 })
  t.match(await at(-1_000_000_000), { status: 404, body: { code: 'account_not_found' } })
  t.equal((await call('GET', '/v1/accounts/a/balance?at=yesterday')).status, 400)
})

const idOf = ({ accountId }: { accountId: string }) => accountId
