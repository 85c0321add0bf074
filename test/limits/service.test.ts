import t from 'tap'
import { openApp, type TestApp } from '../helpers/app.js'

const check = ({ call }: TestApp, policy: string, identity: string, cost?: number) =>
  call('POST', `/v1/rate-limits/${policy}/check`, { identity, ...(cost && { cost }) })

const peek = ({ call }: TestApp, policy: string, identity: string) =>
  call('GET', `/v1/rate-limits/${policy}/${encodeURIComponent(identity)}`)

t.test('the list tells every policy as it is in force', async (t) => {
  const service = await openApp(t, { environment: { RATE_LIMIT_SEARCH: '7/2h' } })
  const { body } = await service.call('GET', '/v1/rate-limits')
  t.same(body, {
    rateLimits: [
      { policy: 'payment', limit: 10, windowSeconds: 60 },
      { policy: 'webhook', limit: 10, windowSeconds: 1 },
      { policy: 'api', limit: 100, windowSeconds: 60 },
      { policy: 'auth', limit: 5, windowSeconds: 900 },
      { policy: 'search', limit: 7, windowSeconds: 7_200 },
      { policy: 'booking', limit: 5, windowSeconds: 300 },
      { policy: 'guestCheckout', limit: 3, windowSeconds: 300 },
    ],
    nextCursor: null,
  })
})

t.test('a check takes units until there are none left; a refused one takes none', async (t) => {
  const service = await openApp(t)
  const begun = Date.now()
  const first = await check(service, 'auth', 'ada')
  t.match(first, {
    status: 200,
    body: { allowed: true, limit: 5, remaining: 4, retryAfterSeconds: 0 },
  })
  const resetInMs = Date.parse(first.body.resetAt) - begun
  t.ok(resetInMs > 895_000 && resetInMs < 960_000, `${resetInMs}`)
  t.match((await check(service, 'auth', 'ada', 3)).body, { allowed: true, remaining: 1 })
  const refused = await check(service, 'auth', 'ada', 2)
  t.match(refused, { status: 200, body: { allowed: false, limit: 5, remaining: 1 } })
  t.ok(refused.body.retryAfterSeconds > 800 && refused.body.retryAfterSeconds <= 900)
  t.match((await check(service, 'auth', 'ada')).body, { allowed: true, remaining: 0 })
  t.match((await check(service, 'auth', 'ada')).body, { allowed: false, remaining: 0 })
})

t.test('a look takes nothing, however often', async (t) => {
  const service = await openApp(t)
  for (let i = 0; i < 10; i++) {
    t.match((await peek(service, 'guestCheckout', '10.0.0.1')).body, {
      allowed: true,
      limit: 3,
      remaining: 3,
      retryAfterSeconds: 0,
    })
  }
  await check(service, 'guestCheckout', '10.0.0.1', 3)
  const full = await peek(service, 'guestCheckout', '10.0.0.1')
  t.match(full.body, { allowed: false, remaining: 0 })
  t.ok(full.body.retryAfterSeconds > 290)
})

t.test('policies and identities do not touch one another, nor the limits of the API', async (t) => {
  const service = await openApp(t)
  await service.open('ada')
  await check(service, 'search', 'ada', 30)
  t.match((await peek(service, 'search', 'ada')).body, { allowed: false })
  t.match((await peek(service, 'api', 'ada')).body, { remaining: 100 })
  t.match((await peek(service, 'search', 'account:ada')).body, { remaining: 30 })
  const headers = { 'on-behalf-of': 'ada' }
  const listed = await service.call('GET', '/v1/accounts/ada/transactions', undefined, { headers })
  t.match(listed, { status: 200, headers: { 'x-ratelimit-remaining': '29' } })
  for (const identity of ['http:search:account:ada', 'account:ada']) {
    t.match((await peek(service, 'search', identity)).body, { remaining: 30 }, identity)
  }
})

t.test('what can not be checked is refused in words', async (t) => {
  const service = await openApp(t)
  const unknown = await check(service, 'nonsense', 'ada')
  t.match(unknown, {
    status: 404,
    body: { code: 'not_found', detail: /payment,webhook,api,auth,search,booking,guestCheckout/ },
  })
  t.match(await peek(service, 'constructor', 'ada'), { status: 404 })
  const tooMuch = await check(service, 'auth', 'ada', 6)
  t.match(tooMuch, { status: 400, body: { errors: [{ in: 'body', path: 'cost', message: /5/ }] } })
  for (const body of [
    {},
    { identity: '' },
    { identity: 'a b' },
    { identity: 'x'.repeat(129) },
    { identity: 7 },
    { identity: 'ada', cost: 0 },
    { identity: 'ada', cost: 1.5 },
    { identity: 'ada', cost: '1' },
    { identity: 'ada', more: true },
  ]) {
    const refused = await service.call('POST', '/v1/rate-limits/api/check', body)
    t.equal(refused.status, 400, JSON.stringify(body))
  }
  t.match((await peek(service, 'api', 'ada')).body, { remaining: 100 }, 'nothing was taken')
  const odd = '{}"%?*/:@~'
  t.match((await check(service, 'api', odd)).body, { remaining: 99 })
  t.match((await peek(service, 'api', odd)).body, { remaining: 99 })
})

t.test('checks need their scope, looks that or the one for reading', async (t) => {
  const service = await openApp(t)
  const keyWith = async (scope: string) =>
    (await service.call('POST', '/v1/api-keys', { name: scope, scopes: [scope] })).body.key
  const [limits, read, write] = await Promise.all(
    ['limits:write', 'credits:read', 'credits:write'].map(keyWith),
  )
  const ask = async (key: string | null) => {
    const options = { key }
    const body = { identity: 'ada' }
    return [
      (await service.call('GET', '/v1/rate-limits', undefined, options)).status,
      (await service.call('POST', '/v1/rate-limits/api/check', body, options)).status,
      (await service.call('GET', '/v1/rate-limits/api/ada', undefined, options)).status,
    ]
  }
  t.same(await ask(limits), [200, 200, 200])
  t.same(await ask(read), [200, 403, 200])
  t.same(await ask(write), [403, 403, 403])
  t.same(await ask(null), [401, 401, 401])
})

t.test('300 checks at once let exactly 100 through', async (t) => {
  const service = await openApp(t)
  const replies = await Promise.all(Array.from({ length: 300 }, () => check(service, 'api', 'ada')))
  t.equal(replies.filter(({ body }) => body.allowed).length, 100)
  t.ok(replies.every(({ status }) => status === 200))
})

t.test('a key may have a limit of its own, which the database keeps', async (t) => {
  const service = await openApp(t)
  const rateLimit = { max: 2, windowSeconds: 600 }
  const body = { name: 'trial', scopes: ['admin'], rateLimit }
  const made = await service.call('POST', '/v1/api-keys', body)
  t.match(made, { status: 201, body: { rateLimit } })
  const { apiKeys } = (await service.call('GET', '/v1/api-keys')).body
  t.same(apiKeys[0].rateLimit, rateLimit)
  const { key } = made.body
  const ask = () => service.call('GET', '/v1/tiers', undefined, { key })
  t.match(await ask(), { status: 200, headers: { 'ratelimit-policy': '"key";q=2;w=600' } })
  t.equal((await ask()).status, 200)
  t.match(await ask(), { status: 429, body: { policy: 'key', limit: 2, windowSeconds: 600 } })
  const free = await service.call('POST', '/v1/api-keys', { ...body, rateLimit: null })
  t.equal(free.body.rateLimit, null)
  for (const bad of [
    {},
    { max: 0, windowSeconds: 1 },
    { max: 1, windowSeconds: 86_401 },
    { max: 1_000_001, windowSeconds: 1 },
    { max: 1 },
    { max: 1, windowSeconds: 1, more: 1 },
    '600/1m',
  ]) {
    const refused = await service.call('POST', '/v1/api-keys', { ...body, rateLimit: bad })
    t.equal(refused.status, 400, JSON.stringify(bad))
  }
})

t.test('refusals are counted, and leave no entries in the audit log', async (t) => {
  const service = await openApp(t, { environment: { RATE_LIMIT_API: '1/1h' } })
  await service.open('ada', 10)
  const headers = { 'on-behalf-of': 'ada' }
  const charge = () => service.call('POST', '/v1/accounts/ada/charges', { amount: 1 }, { headers })
  t.equal((await charge()).status, 201)
  t.equal((await charge()).status, 429)
  t.equal((await charge()).status, 429)
  await check(service, 'api', 'ada')
  const { body } = await service.call('GET', '/metrics')
  t.match(body, /^rate_limit_decisions_total\{policy="api",outcome="allowed"\} 1$/m)
  t.match(body, /^rate_limit_decisions_total\{policy="api",outcome="refused"\} 2$/m)
  t.match(body, /^rate_limit_store_failures_total 0$/m)
  const { entries } = (await service.call('GET', '/v1/audit-log')).body
  t.same(
    entries.filter((entry: { status: string }) => entry.status === 'failed'),
    [],
  )
  t.notOk(entries.some(({ action }: { action: string }) => action === 'rate_limit_check'))
  t.equal((await service.call('GET', '/v1/accounts/ada/balance')).body.balance, 9)
})
