import t, { type Test } from 'tap'
import { openApp, type TestApp } from '../helpers/app.js'

const STATUS = '/v1/credits/status'
const ON = { ENABLE_CREDIT_PURCHASES: 'true' }

const sessionOf = async ({ call }: TestApp, accountId: string): Promise<string> =>
  (await call('POST', '/v1/sessions', { accountId })).body.token

const keyWith = async ({ call }: TestApp, scope: string): Promise<string> =>
  (await call('POST', '/v1/api-keys', { name: scope, scopes: [scope] })).body.key

/** What the flags make of the service, as anybody is told. */
const toldWith = async (t: Test, url: string, environment: Record<string, string>) => {
  const service = await openApp(t, { url, environment })
  const { status, body, headers } = await service.call('GET', STATUS, undefined, { key: null })
  const health = await service.call('GET', '/health', undefined, { key: null })
  const ready = await service.call('GET', '/health/ready', undefined, { key: null })
  await service.close()
  t.equal(status, 200)
  t.equal(headers['x-credit-system-version'], body.version)
  t.equal(headers['x-rollback-mode'], String(body.rollbackMode))
  t.equal(headers['x-credit-purchases-enabled'], String(body.purchasesEnabled))
  t.equal(health.body.rollbackMode, body.rollbackMode, 'health shows it')
  t.equal(ready.body.rollbackMode, body.rollbackMode)
  return `${body.version} ${body.purchasesEnabled} ${body.rollbackMode}`
}

t.test('the flags are read as they are written, and rollback mode wins', async (t) => {
  const { url, close } = await openApp(t)
  await close()
  const told = (version: string, purchases: string, rollback: string) =>
    toldWith(t, url, {
      CREDIT_SYSTEM_VERSION: version,
      ENABLE_CREDIT_PURCHASES: purchases,
      ROLLBACK_MODE: rollback,
    })
  t.equal(await told('', '', ''), 'v1 false false', 'not set')
  t.equal(await told('v1', 'true', 'false'), 'v1 true false')
  t.equal(await told('v2', 'true', 'false'), 'v2 false false', 'v2 never sells')
  t.equal(await told('v2', 'true', 'true'), 'v1 true true', 'rollback forces v1')
  for (const odd of ['V2', 'v3', '2', 'v2x']) t.match(await told(odd, '', ''), /^v1 /, odd)
  for (const odd of ['TRUE', '1', 'yes']) {
    t.equal(await told('v1', odd, odd), 'v1 false false', odd)
  }
})

t.test('everybody is told the flags, and who is known the own balance too', async (t) => {
  const service = await openApp(t, { environment: ON })
  const { call, open } = service
  await open('ada', 70)
  await open('bob', 5)
  const flags = { version: 'v1', purchasesEnabled: true, rollbackMode: false }
  const tell = (key: string | null, query = '', headers = {}) =>
    call('GET', `${STATUS}${query}`, undefined, { key, headers })
  const anonymous = await tell(null)
  t.match(anonymous, { status: 200, body: { ...flags, balance: null } })
  t.equal(anonymous.headers['cache-control'], 'no-store')
  t.equal(anonymous.headers['x-credit-balance'], undefined)

  const session = await sessionOf(service, 'ada')
  const balance = { accountId: 'ada', balance: 70, available: 70, held: 0, debt: 0 }
  t.match(await tell(session), { status: 200, body: { ...flags, balance } })
  t.match(await tell(session, '?accountId=ada'), { status: 200, body: { balance } })
  const foreign = await tell(session, '?accountId=bob')
  const missing = await tell(session, '?accountId=nobody')
  t.match([foreign, missing], [{ status: 404 }, { status: 404 }])
  t.equal(foreign.body.code, 'account_not_found')
  t.match(await tell(session, '', { 'on-behalf-of': 'bob' }), { status: 403 })

  const key = await keyWith(service, 'credits:read')
  t.match(await tell(key), { status: 200, body: { ...flags, balance: null } })
  t.match(await tell(key, '?accountId=ada'), { status: 200, body: { balance } })
  t.match(await tell(key, '', { 'on-behalf-of': 'bob' }), { body: { balance: { balance: 5 } } })
  t.match(await tell(key, '?accountId=bob', { 'on-behalf-of': 'bob' }), { status: 200 })
  t.match(await tell(key, '?accountId=ada', { 'on-behalf-of': 'bob' }), { status: 400 })
  t.match(await tell(key, '?accountId=nobody'), {
    status: 404,
    body: { code: 'account_not_found' },
  })
  t.equal((await tell(key, '?account=ada')).status, 400, 'misspelt')
  const other = await keyWith(service, 'limits:write')
  t.match(await tell(other), { status: 200, body: { balance: null } })
  t.match(await tell(other, '?accountId=ada'), {
    status: 403,
    body: { code: 'forbidden', requiredScopes: ['credits:read'] },
  })
})

t.test('a bad credential is none, and opens no balance', async (t) => {
  const { call, open, app } = await openApp(t)
  await open('ada', 70)
  const bad = [
    'nonsense',
    `ck_test_${'x'.repeat(43)}`,
    `cs_${'x'.repeat(54)}`,
    `cs_${'x'.repeat(3)}`,
  ]
  for (const key of bad) {
    t.match(await call('GET', STATUS, undefined, { key }), {
      status: 200,
      body: { balance: null },
    })
    for (const options of [
      { query: '?accountId=ada', headers: {} as Record<string, string> },
      { query: '', headers: { 'on-behalf-of': 'ada' } },
    ]) {
      const { query, headers } = options
      t.match(
        await call('GET', `${STATUS}${query}`, undefined, { key, headers }),
        { status: /^(401|429)$/, body: { code: /^(unauthenticated|rate_limited)$/ } },
        `${key}${query}`,
      )
    }
  }
  t.match(await call('GET', `${STATUS}?accountId=ada`, undefined, { key: null }), {
    status: 401,
    body: { code: 'unauthenticated' },
  })
  const nobody = await call('GET', `${STATUS}?accountId=zoe`, undefined, { key: null })
  t.equal(nobody.status, 401, 'and does not tell which accounts there are')
  const basic = await app.inject({ url: STATUS, headers: { authorization: 'Basic eDp5' } })
  t.equal(basic.statusCode, 200)
})

t.test('HEAD tells the same in headers, without a body', async (t) => {
  const service = await openApp(t, { environment: ON })
  await service.open('ada', 70)
  const hold = { amount: 20, ttlSeconds: 60 }
  t.equal((await service.call('POST', '/v1/accounts/ada/holds', hold)).status, 201)
  const token = await sessionOf(service, 'ada')
  const ask = async (method: 'GET' | 'HEAD', authorization: string | null) => {
    const headers = authorization === null ? {} : { authorization: `Bearer ${authorization}` }
    return service.app.inject({ method, url: STATUS, headers })
  }
  const head = await ask('HEAD', token)
  t.equal(head.statusCode, 200)
  t.equal(head.body, '')
  t.match(head.headers, {
    'x-credit-system-version': 'v1',
    'x-rollback-mode': 'false',
    'x-credit-purchases-enabled': 'true',
    'x-credit-rollover': 'false',
    'x-credit-balance': '70',
    'x-credit-available': '50',
  })
  const namesOf = (headers: object) =>
    Object.keys(headers)
      .filter((name) => name.startsWith('x-credit'))
      .sort()
  t.same(namesOf(head.headers), namesOf((await ask('GET', token)).headers))
  const anonymous = await ask('HEAD', null)
  t.equal(anonymous.statusCode, 200)
  t.notOk('x-credit-balance' in anonymous.headers)
  const refused = await service.app.inject({ method: 'HEAD', url: `${STATUS}?accountId=ada` })
  t.equal(refused.statusCode, 401)
  t.equal(refused.body, '')
})

/** By their first step: what shows, sells or moves credits, and what does not. */
const CREDITS = ['accounts', 'credits', 'operations', 'packages', 'plans', 'prices', 'purchases']
const TELLING = new Set([...CREDITS, 'tiers', 'transactions', 'transfers'])
const SILENT = new Set([
  ...['sessions', 'rate-limits', 'api-keys', 'audit-log', 'reconcile'],
  ...['webhooks', 'webhook-endpoints', 'events'],
])

t.test('every reply that has to do with credits tells version and rollback', async (t) => {
  const environment = { ROLLBACK_MODE: 'true', CREDIT_SYSTEM_VERSION: 'v2' }
  const { app, call } = await openApp(t, { environment })
  const { paths = {} } = app.swagger() as unknown as {
    paths?: Record<string, Record<string, { responses: Record<string, { headers?: object }> }>>
  }
  let telling = 0
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, { responses }] of Object.entries(item)) {
      const name = `${method.toUpperCase()} ${path}`
      const step = path.startsWith('/v1/') ? (path.split('/')[2] ?? '') : null
      t.ok(step === null || TELLING.has(step) || SILENT.has(step), `${name} is known`)
      const tells = step !== null && TELLING.has(step)
      if (tells) telling += 1
      for (const [status, { headers = {} }] of Object.entries(responses)) {
        if (status > '299') continue
        t.equal('X-Rollback-Mode' in headers, tells, `${name} documents it`)
        t.equal('X-Credit-System-Version' in headers, tells, name)
      }
      const url = path.replace(/\{\w+\}/g, 'x')
      for (const key of [null, undefined]) {
        const reply = await call(method.toUpperCase(), url, undefined, key === null ? { key } : {})
        const expected = tells ? ['v1', 'true'] : [undefined, undefined]
        const { headers } = reply
        const told = [headers['x-credit-system-version'], headers['x-rollback-mode']]
        t.same(told, expected, `${name}: ${reply.status}`)
      }
    }
  }
  t.ok(telling >= 30, `${telling} operations`)
})

t.test('the status is there while made-up keys pour in, at no cost to the database', async (t) => {
  const service = await openApp(t, { environment: { RATE_LIMIT_API: '20/1m' } })
  await service.open('ada', 70)
  const key = await keyWith(service, 'credits:read')
  const balance = () => service.call('GET', '/v1/accounts/ada/balance', undefined, { key })
  t.equal((await balance()).status, 200, 'a key that is in use here')
  let looks = 0
  service.core.db.pool.on('acquire', () => {
    looks += 1
  })
  const seen = new Map<number, number>()
  for (let i = 0; i < 200; i += 1) {
    const made = `ck_test_${String(i).padStart(43, 'x')}`
    const { status } = await service.call('GET', STATUS, undefined, { key: made })
    seen.set(status, (seen.get(status) ?? 0) + 1)
  }
  t.same(
    [...seen],
    [
      [200, 20],
      [429, 180],
    ],
  )
  t.ok(looks < 100, `${looks} connections taken`)
  const known = await service.call('GET', `${STATUS}?accountId=ada`, undefined, { key })
  t.match(known, { status: 200, body: { balance: { balance: 70 } } }, 'it is served all the same')
})
