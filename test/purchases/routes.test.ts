import t from 'tap'
import { startStripe } from '../helpers/stripe-stand-in.js'
import { openShop } from './kit.js'

t.test('what can not be bought is refused, and nothing is begun', async (t) => {
  const { call, open, core } = await openShop(t)
  await open('ada')
  await open('gone')
  await call('DELETE', '/v1/accounts/gone')
  await call('PUT', '/v1/packages/old', {
    ...{ name: 'Old', credits: 1, price: 1, currency: 'USD', active: false },
  })
  const buy = { accountId: 'ada', packageId: 'pkg_starter' }
  for (const [body, status, code, field] of [
    [{ ...buy, packageId: 'none' }, 404, 'package_not_found'],
    [{ ...buy, packageId: 'old' }, 409, 'package_inactive'],
    [{ ...buy, accountId: 'zoe' }, 404, 'account_not_found'],
    [{ ...buy, accountId: 'gone' }, 409, 'account_closed'],
    [{ packageId: 'pkg_starter' }, 400, 'invalid_request', 'accountId'],
    [{ accountId: 'ada' }, 400, 'invalid_request', 'packageId'],
    [{ ...buy, packageId: 'PKG' }, 400, 'invalid_request', 'packageId'],
    [{ ...buy, accountId: '-' }, 400, 'invalid_request', 'accountId'],
    [{ ...buy, provider: 'stripe' }, 400, 'invalid_request', 'provider'],
    [{ ...buy, provider: 'paypal' }, 400, 'invalid_request', 'provider'],
    [{ ...buy, successUrl: 'javascript:alert(1)' }, 400, 'invalid_request', 'successUrl'],
    [{ ...buy, successUrl: `https://x/${'x'.repeat(2_050)}` }, 400, 'invalid_request'],
    [{ ...buy, credits: 1_000_000 }, 400, 'invalid_request', 'credits'],
    [{ ...buy, metadata: { amount: 0 } }, 400, 'invalid_request', 'metadata'],
    [[], 400, 'invalid_request'],
    ['{', 400, 'invalid_request'],
  ] as const) {
    const reply = await call('POST', '/v1/purchases', body)
    t.match(reply, { status, body: { code } }, JSON.stringify(body))
    if (field !== undefined) t.equal(reply.body.errors?.[0]?.path, field)
  }
  const named = await call('POST', '/v1/purchases', { ...buy, provider: 'stripe' })
  t.match(named.body.errors[0].message, /stripe is not configured; there is manual/)
  const { rows } = await core.db.pool.query('select id from credit_purchases')
  t.same(rows, [])
})

t.test('a refused purchase names the setting that turns purchases off', async (t) => {
  for (const [environment, flag, detail] of [
    [{ ENABLE_CREDIT_PURCHASES: '' }, 'ENABLE_CREDIT_PURCHASES', /ENABLE_CREDIT_PURCHASES/],
    [{ ENABLE_CREDIT_PURCHASES: '1' }, 'ENABLE_CREDIT_PURCHASES', /is not true/],
    [{ CREDIT_SYSTEM_VERSION: 'v2' }, 'CREDIT_SYSTEM_VERSION', /CREDIT_SYSTEM_VERSION is v2/],
    [
      { ROLLBACK_MODE: 'true', CREDIT_SYSTEM_VERSION: 'v2', ENABLE_CREDIT_PURCHASES: '' },
      ...(['ENABLE_CREDIT_PURCHASES', /ROLLBACK_MODE/] as const),
    ],
  ] as const) {
    const { call, open } = await openShop(t, { environment })
    await open('ada')
    const body = { accountId: 'ada', packageId: 'none' }
    const reply = await call('POST', '/v1/purchases', body)
    t.match(reply, { status: 403, body: { code: 'purchases_disabled', flag, detail } })
    t.equal((await call('GET', '/v1/packages')).status, 200, 'what would be sold is told')
  }
})

t.test('what was begun is credited although purchases were turned off', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const { purchaseId } = await shop.buy('ada')
  const other = await openShop(t, { url: shop.url, environment: { CREDIT_SYSTEM_VERSION: 'v2' } })
  t.match(await other.call('POST', `/v1/purchases/${purchaseId}/confirm`), {
    status: 200,
    body: { status: 'completed' },
  })
  t.match(await other.balance('ada'), { balance: 100 })
})

t.test('an idempotency key begins one purchase, also for many at once', async (t) => {
  const { call, open, core } = await openShop(t)
  await open('ada')
  const body = { accountId: 'ada', packageId: 'pkg_starter' }
  const buy = (idempotencyKey = 'k', change = {}) =>
    call('POST', '/v1/purchases', { ...body, ...change }, { idempotencyKey })
  const replies = await Promise.all(Array.from({ length: 10 }, () => buy()))
  t.ok(replies.every(({ status }) => status === 201))
  t.equal(new Set(replies.map((reply) => reply.body.purchaseId)).size, 1)
  t.match(await buy('k', { packageId: 'pkg_value' }), { status: 422 })
  t.equal((await buy('l')).status, 201)
  const { rows } = await core.db.pool.query('select count(*) as n from credit_purchases')
  t.equal(rows[0].n, 2)
})

t.test('a key is free again when it is forgotten', async (t) => {
  const shop = await openShop(t, { environment: { IDEMPOTENCY_TTL_SECONDS: '60' } })
  await shop.open('ada')
  const caller = { actor: 'key:env', requestId: 'r', idempotencyKey: 'k' }
  const body = { accountId: 'ada', packageId: 'pkg_starter' }
  const { purchases } = shop.services()
  const buy = async () => {
    const asked = { ...caller, keySpace: 'api' as const }
    const actor = { kind: 'key' as const, id: 'env', scopes: new Set<never>() }
    return (await purchases.purchaseCreditPackage(asked, actor, body)).purchaseId
  }
  const many = await Promise.all(Array.from({ length: 10 }, buy))
  t.equal(new Set(many).size, 1, 'without the memory of answers, too')
  shop.clock.aheadMs = 61_000
  const later = await Promise.all(Array.from({ length: 10 }, buy))
  t.equal(new Set(later).size, 1)
  t.not(later[0], many[0])
})

t.test('a crash after the checkout was made: the repeat gives the same checkout', async (t) => {
  const stripe = await startStripe(t)
  const shop = await openShop(t, {
    environment: { STRIPE_SECRET_KEY: stripe.apiKey, STRIPE_API_URL: stripe.url },
  })
  await shop.open('ada')
  const caller = {
    ...{ actor: 'key:env', requestId: 'r', idempotencyKey: 'k' },
    keySpace: 'api' as const,
  }
  const body = { accountId: 'ada', packageId: 'pkg_starter', successUrl: 'https://x.test/done' }
  const begin = (purchases: ReturnType<typeof shop.services>['purchases']) =>
    purchases.purchaseCreditPackage(caller, { kind: 'key', id: 'env', scopes: new Set() }, body)
  const dying = shop.services({
    db: {
      ...shop.core.db,
      pool: new Proxy(shop.core.db.pool, {
        get(pool, name) {
          // the provider has answered, and this process dies before it writes that down
          if (name === 'connect' && stripe.objects.sessions.size > 0) throw new Error('died')
          const value = Reflect.get(pool, name)
          return typeof value === 'function' ? value.bind(pool) : value
        },
      }),
    },
  })
  await t.rejects(begin(dying.purchases), { message: 'died' })
  t.equal(stripe.objects.sessions.size, 1, 'Stripe has a checkout')
  await shop.call('PUT', '/v1/packages/pkg_starter', { price: 900, active: false })
  const again = await begin(shop.services().purchases)
  const [session] = [...stripe.objects.sessions.values()]
  t.equal(stripe.objects.sessions.size, 1, 'and still the one')
  t.match(again, { status: 'pending', amount: 500, checkoutUrl: session?.url })
  t.same(await begin(shop.services().purchases), again)
  await t.rejects(
    shop
      .services()
      .purchases.purchaseCreditPackage(
        caller,
        { kind: 'key', id: 'env', scopes: new Set() },
        { ...body, packageId: 'pkg_value' },
      ),
    { code: 'idempotency_key_reused' },
  )
})

t.test('a provider that refuses leaves nothing; one that is away can be asked again', async (t) => {
  const stripe = await startStripe(t)
  const shop = await openShop(t, {
    environment: { STRIPE_SECRET_KEY: stripe.apiKey, STRIPE_API_URL: stripe.url },
  })
  await shop.open('ada')
  const body = { accountId: 'ada', packageId: 'pkg_starter', successUrl: 'https://x.test/done' }
  const buy = () => shop.call('POST', '/v1/purchases', body, { idempotencyKey: 'k' })
  stripe.fail({ status: 402 })
  t.match(await buy(), { status: 409, body: { code: 'provider_refused' } })
  t.same((await shop.call('GET', '/v1/accounts/ada/purchases')).body.purchases, [])
  stripe.fail('reset')
  t.match(await buy(), { status: 503, body: { code: 'provider_unavailable' } })
  stripe.fail(null)
  const bought = await buy()
  t.match(bought, { status: 201, body: { provider: 'stripe', checkoutUrl: /^http/ } })
  t.equal((await shop.call('GET', '/v1/accounts/ada/purchases')).body.purchases.length, 1)
})

t.test(
  'a call without what its provider needs begins nothing, and its key stays free',
  async (t) => {
    const stripe = await startStripe(t)
    const shop = await openShop(t, {
      environment: { STRIPE_SECRET_KEY: stripe.apiKey, STRIPE_API_URL: stripe.url },
    })
    await shop.open('ada')
    const body = { accountId: 'ada', packageId: 'pkg_starter' }
    const buy = (change = {}) =>
      shop.call('POST', '/v1/purchases', { ...body, ...change }, { idempotencyKey: 'k' })
    t.match(await buy(), {
      status: 400,
      body: { code: 'invalid_request', errors: [{ path: 'successUrl' }] },
    })
    t.same((await shop.call('GET', '/v1/accounts/ada/purchases')).body.purchases, [])
    const bought = await buy({ successUrl: 'https://x.test/done' })
    t.match(bought, { status: 201, body: { checkoutUrl: /^http/ } })
    t.equal((await shop.call('GET', '/v1/accounts/ada/purchases')).body.purchases.length, 1)
  },
)

t.test('of two checkouts of one purchase the first is kept', async (t) => {
  const stripe = await startStripe(t)
  const shop = await openShop(t, {
    environment: { STRIPE_SECRET_KEY: stripe.apiKey, STRIPE_API_URL: stripe.url },
  })
  await shop.open('ada')
  const successUrl = 'https://x.test/done'
  const { db } = shop.core
  const { purchases } = shop.services(
    {},
    {
      // somebody else has begun it while this one asks around
      async emailOf() {
        await db.pool.query(
          `update credit_purchases set checkout_id = 'cs_first', version = version + 1`,
        )
        return null
      },
    },
  )
  const caller = {
    ...{ actor: 'key:env', requestId: 'r', idempotencyKey: 'k' },
    keySpace: 'api' as const,
  }
  const body = { accountId: 'ada', packageId: 'pkg_starter', successUrl }
  const actor = { kind: 'key' as const, id: 'env', scopes: new Set<never>() }
  await purchases.purchaseCreditPackage(caller, actor, body)
  const { rows } = await db.pool.query('select checkout_id from credit_purchases')
  t.same(rows, [{ checkout_id: 'cs_first' }])
})

t.test('a session buys for itself, and sees nothing of others', async (t) => {
  const shop = await openShop(t)
  const { open, begin, as, call } = shop
  await open('ada')
  await open('bob')
  const [ada, bob] = [await begin('ada'), await begin('bob')]
  const body = { packageId: 'pkg_starter' }
  const bought = await as(ada, 'POST', '/v1/purchases', body)
  t.match(bought, { status: 201, body: { accountId: 'ada' } })
  const path = `/v1/purchases/${bought.body.purchaseId}`
  const own = await as(ada, 'POST', '/v1/purchases', { ...body, accountId: 'ada' })
  t.equal(own.status, 201)
  for (const accountId of ['bob', 'zoe']) {
    const foreign = await as(ada, 'POST', '/v1/purchases', { ...body, accountId })
    t.match(foreign, { status: 404, body: { code: 'account_not_found' } })
  }
  t.equal((await as(ada, 'GET', path)).status, 200)
  const [foreign, missing] = [await as(bob, 'GET', path), await as(bob, 'GET', `${path}0`)]
  t.match(foreign, { status: 404, body: { code: 'purchase_not_found' } })
  t.equal(missing.body.code, foreign.body.code)
  t.equal((await as(bob, 'GET', '/v1/accounts/ada/purchases')).status, 404)
  t.equal((await as(ada, 'GET', '/v1/accounts/ada/purchases')).body.purchases.length, 2)
  for (const act of ['confirm', 'refund']) {
    t.equal((await as(ada, 'POST', `${path}/${act}`)).status, 403, `${act} is for back ends`)
  }
  const scopes = ['credits:read', 'credits:write', 'grants:write']
  const { key } = (await call('POST', '/v1/api-keys', { name: 'k', scopes })).body
  for (const act of ['confirm', 'refund']) {
    t.equal((await call('POST', `${path}/${act}`, undefined, { key })).status, 403)
  }
  t.match(await shop.balance('ada'), { balance: 0 }, 'and no credit has moved')
})

t.test('purchases are paged newest first, and none is lost or told twice', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const bought: string[] = []
  for (let n = 0; n < 5; n += 1) bought.unshift((await shop.buy('ada')).purchaseId)
  const seen: string[] = []
  for (let cursor = ''; ; ) {
    const path = `/v1/accounts/ada/purchases?limit=2${cursor}`
    const { body } = await shop.call('GET', path)
    seen.push(...body.purchases.map(({ purchaseId }: { purchaseId: string }) => purchaseId))
    if (seen.length === 2) await shop.buy('ada')
    if (body.nextCursor === null) break
    cursor = `&cursor=${body.nextCursor}`
  }
  t.same([...seen].sort(), [...bought].sort())
  t.equal((await shop.call('GET', '/v1/accounts/zoe/purchases')).status, 404)
  for (const query of ['cursor=x', 'limit=201', 'limit=0', 'what=1', 'cursor=WzEsMl0']) {
    t.equal((await shop.call('GET', `/v1/accounts/ada/purchases?${query}`)).status, 400, query)
  }
  for (const timeMs of [1e15, 8.64e15, -8.64e15, -1, 253_402_300_800_000]) {
    const cursor = Buffer.from(JSON.stringify([timeMs, 'x'])).toString('base64url')
    const reply = await shop.call('GET', `/v1/accounts/ada/purchases?cursor=${cursor}`)
    t.match(reply, { status: 400, body: { code: 'invalid_request' } }, `${timeMs}`)
  }
})

t.test('an account buys ten times a minute, a guest three in five', async (t) => {
  const environment = { RATE_LIMIT_PAYMENT: '10/1m' }
  const { call, open, as, begin, guest } = await openShop(t, { environment })
  await open('ada')
  await open('bob')
  const body = { accountId: 'ada', packageId: 'pkg_starter' }
  const buy = async (change = {}) =>
    (await call('POST', '/v1/purchases', { ...body, ...change })).status
  for (let n = 0; n < 10; n += 1) t.equal(await buy(), 201)
  t.equal(await buy(), 429, 'the eleventh, for an API key too')
  t.equal(await buy({ accountId: 'bob' }), 201, 'others are not held up')
  const token = await begin('ada')
  const own = { packageId: 'pkg_starter' }
  t.equal((await as(token, 'POST', '/v1/purchases', own)).status, 429, 'one count for both')
  const visitor = await guest()
  for (let n = 0; n < 3; n += 1) {
    t.equal((await as(visitor.token, 'POST', '/v1/purchases', own)).status, 201)
  }
  t.equal((await as(visitor.token, 'POST', '/v1/purchases', own)).status, 429)
})

t.test('the provider is the one there is; of two one must be named', async (t) => {
  const stripe = await startStripe(t)
  const one = { STRIPE_SECRET_KEY: stripe.apiKey, STRIPE_API_URL: stripe.url }
  const alone = await openShop(t, { environment: one })
  await alone.open('ada')
  const successUrl = 'https://x.test/done'
  t.match(await alone.buy('ada', { successUrl }), {
    provider: 'stripe',
    checkoutUrl: String,
    status: 'pending',
  })
  t.match(await alone.buy('ada', { provider: 'manual' }), { provider: 'manual' })
  const both = { ...one, CREEM_API_KEY: 'creem_test_x', CREEM_API_URL: stripe.url }
  const { call, open } = await openShop(t, { environment: both })
  await open('ada')
  const body = { accountId: 'ada', packageId: 'pkg_starter' }
  const refused = await call('POST', '/v1/purchases', body)
  t.match(refused, { status: 400, body: { errors: [{ path: 'provider' }] } })
  for (const name of ['manual', 'stripe', 'creem']) t.match(refused.body.detail, name)
})

t.test('confirm and refund refuse what the state does not allow', async (t) => {
  const shop = await openShop(t)
  const { call, open, buy } = shop
  await open('ada')
  const post = (id: string, act: string, body?: unknown) =>
    call('POST', `/v1/purchases/${id}/${act}`, body)
  const [one, two] = [(await buy('ada')).purchaseId, (await buy('ada')).purchaseId]
  t.match(await post('none', 'confirm'), { status: 404, body: { code: 'purchase_not_found' } })
  t.match(await post('none', 'refund'), { status: 404, body: { code: 'purchase_not_found' } })
  t.match(await call('GET', '/v1/purchases/none'), { status: 404 })
  t.equal((await call('GET', '/v1/purchases/a.b')).status, 400)
  t.match(await post(one, 'refund'), { status: 409, body: { code: 'purchase_state' } })
  for (const body of [{ paymentIntentId: '' }, { paymentIntentId: 'a b' }, { amount: 1 }, []]) {
    t.equal((await post(one, 'confirm', body)).status, 400, JSON.stringify(body))
  }
  t.equal((await post(one, 'confirm', { paymentIntentId: 'p1' })).status, 200)
  const other = await post(one, 'confirm', { paymentIntentId: 'p2' })
  t.match(other, { status: 409, body: { code: 'purchase_state', detail: /on top of p1/ } })
  const taken = await post(two, 'confirm', { paymentIntentId: 'p1' })
  t.match(taken, { status: 409, body: { detail: /p1 has paid for pur_/ } })
  t.match(await shop.purchase(two), { status: 'pending' }, 'one payment, one purchase')
  for (const amount of [0, -1, 1.5, '5', 2 ** 53, null]) {
    t.equal((await post(one, 'refund', { amount })).status, 400, `${amount}`)
  }
  const over = await post(one, 'refund', { amount: 501 })
  t.match(over, { status: 422, body: { code: 'refund_exceeds_charge', left: 500 } })
  t.match(await post(one, 'refund', {}), { status: 200, body: { status: 'refunded' } })
  t.match(await post(one, 'refund', {}), { status: 409, body: { code: 'purchase_state' } })
  t.match(await post(one, 'refund', { amount: 1 }), { status: 409 })
  t.match(await post(one, 'confirm', { paymentIntentId: 'p1' }), {
    ...{ status: 200, body: { status: 'refunded' } },
  })
  t.match(await shop.balance('ada'), { balance: 0, debt: 0 })
  await shop.mustBeSound(t)
})

t.test('acts on purchases show in the audit log, refused ones too', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const { purchaseId } = await shop.buy('ada')
  await shop.call('POST', `/v1/purchases/${purchaseId}/refund`)
  await shop.call('POST', `/v1/purchases/${purchaseId}/confirm`)
  await shop.call('POST', `/v1/purchases/${purchaseId}/refund`, { reason: 'asked for' })
  const { entries } = (await shop.call('GET', '/v1/audit-log')).body
  const seen = entries.map(({ action, status }: Record<string, string>) => `${action} ${status}`)
  for (const wanted of [
    ...['purchase_create success', 'purchase_confirm success'],
    ...['purchase_refund success', 'purchase_refund failed'],
  ]) {
    t.ok(seen.includes(wanted), wanted)
  }
})
