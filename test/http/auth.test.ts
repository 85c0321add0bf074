import { performance } from 'node:perf_hooks'
import t from 'tap'
import { COMING_SCOPES, SCOPES, type Scope } from '../../src/http/actor.js'
import { createAuthenticator, KEY_CACHE_TTL_MS, keyHash } from '../../src/http/auth.js'
import { ADMIN_KEY, openApp, type TestApp } from '../helpers/app.js'

const KEY = `ck_test_${'k'.repeat(43)}`

t.test('a key is looked up once and then known for a while', async (t) => {
  let lookups = 0
  const clock = { ms: 1_000 }
  const known = new Map([[keyHash(KEY), { id: 'k1', scopes: ['admin'] as const }]])
  const auth = createAuthenticator({
    findKey: async (digest) => {
      lookups += 1
      const found = known.get(digest)
      return found ? { ...found, expiresAtMs: 1_000_000 } : null
    },
    touchSession: async () => null,
    configuredKey: null,
    now: () => clock.ms,
  })
  const ask = async () => auth.authenticate(`Bearer ${KEY}`)
  const actors = await Promise.all(Array.from({ length: 50 }, ask))
  t.match(actors[0], { kind: 'key', id: 'k1' })
  t.equal(lookups, 1, 'many at once ask once')
  await ask()
  t.equal(lookups, 1)

  known.clear()
  clock.ms += KEY_CACHE_TTL_MS - 1
  t.match(await ask(), { id: 'k1' }, 'revoked elsewhere: still known within the bound')
  clock.ms += 1
  await t.rejects(ask(), { code: 'unauthenticated' }, 'and no longer after it')

  known.set(keyHash(KEY), { id: 'k1', scopes: ['admin'] as const })
  await ask()
  known.clear()
  auth.forget(keyHash(KEY))
  await t.rejects(ask(), { code: 'unauthenticated' }, 'revoked here: at once')

  known.set(keyHash(KEY), { id: 'k1', scopes: ['admin'] as const })
  await ask()
  clock.ms = 999_999
  await ask()
  clock.ms = 1_000_000
  await t.rejects(ask(), { code: 'unauthenticated' }, 'expired: at once, also while it is known')
})

t.test('a lookup that began before a revocation does not bring the key back', async (t) => {
  let release: () => void = () => {}
  let isRevoked = false
  const auth = createAuthenticator({
    findKey: async () => {
      const found = isRevoked ? null : { id: 'k1', scopes: ['admin'] as const, expiresAtMs: null }
      await new Promise<void>((resolve) => {
        release = resolve
      })
      return found
    },
    touchSession: async () => null,
    configuredKey: null,
    now: () => 0,
  })
  const before = auth.authenticate(`Bearer ${KEY}`)
  isRevoked = true
  auth.forget(keyHash(KEY))
  release()
  await before
  const after = auth.authenticate(`Bearer ${KEY}`)
  release()
  await t.rejects(Promise.resolve(after), { code: 'unauthenticated' })
})

t.test('the scopes that no route asks for are those of what is to come', async (t) => {
  const { app } = await openApp(t)
  const used = new Set<string>(['admin'])
  for (const operations of Object.values(app.swagger().paths ?? {})) {
    for (const { description = '' } of Object.values(operations) as { description?: string }[]) {
      const scopes = /Scope: (.*)\.$/.exec(description)?.[1] ?? ''
      for (const [, scope = ''] of scopes.matchAll(/`([a-z:]+)`/g)) used.add(scope)
    }
  }
  t.ok(used.size >= 4)
  t.same(
    SCOPES.filter((scope) => !used.has(scope)),
    COMING_SCOPES,
  )
})

t.test('credentials that are none are refused without a look into the database', async (t) => {
  const auth = createAuthenticator({
    findKey: () => Promise.reject(new Error('not to be asked')),
    touchSession: async () => null,
    configuredKey: ADMIN_KEY,
    now: () => 0,
  })
  for (const header of [
    '',
    'Bearer',
    'Bearer  ',
    `Basic ${ADMIN_KEY}`,
    ADMIN_KEY,
    `Bearer ${ADMIN_KEY}x`,
    `Bearer ${ADMIN_KEY} ${ADMIN_KEY}`,
    'Bearer ck_test_short',
    `Bearer ck_prod_${'k'.repeat(43)}`,
  ]) {
    t.throws(() => auth.authenticate(header), { code: 'unauthenticated' }, header)
  }
  t.match(auth.authenticate(`bearer ${ADMIN_KEY}`), { id: 'env' })
  t.match(auth.authenticate(undefined), { kind: 'anonymous' })
})

const keyWith = async ({ call }: TestApp, scopes: readonly Scope[]): Promise<string> =>
  (await call('POST', '/v1/api-keys', { name: scopes.join(), scopes })).body.key

t.test('403 names the scope that is lacking, also for one operation of many', async (t) => {
  const service = await openApp(t)
  await service.open('a', 100)
  const key = await keyWith(service, ['credits:write'])
  const refused = await service.call('POST', '/v1/accounts/a/grants', { amount: 1 }, { key })
  t.match(refused, {
    status: 403,
    body: { code: 'forbidden', detail: /grants:write/, requiredScopes: ['grants:write'] },
  })
  const operations = [
    { type: 'grant', accountId: 'a', amount: 1 },
    { type: 'charge', accountId: 'a', amount: 1 },
    { type: 'transfer', accountId: 'a', to: 'b', amount: 1 },
  ]
  const { body } = await service.call('POST', '/v1/operations', { operations }, { key })
  t.match(body.outcomes, [{ status: 403, code: 'forbidden' }, { status: 201 }, { status: 403 }])
})

t.test('two keys are valid while one replaces the other; a revoked one ends at once', async (t) => {
  const service = await openApp(t)
  const { call } = service
  const made = await call('POST', '/v1/api-keys', { name: 'old', scopes: ['credits:read'] })
  t.match(made, {
    status: 201,
    body: { name: 'old', scopes: ['credits:read'], expiresAt: null, revokedAt: null },
  })
  t.match(made.body.key, /^ck_test_[A-Za-z0-9_-]{43}$/)
  t.ok(made.body.key.startsWith(made.body.prefix))
  const fresh = await call('POST', '/v1/api-keys', { name: 'new', scopes: ['credits:read'] })
  const read = async (key: string) => (await call('GET', '/v1/accounts', undefined, { key })).status
  t.equal(await read(made.body.key), 200)
  t.equal(await read(fresh.body.key), 200)
  const revoked = await call('DELETE', `/v1/api-keys/${made.body.id}`)
  t.match(revoked, { status: 200, body: { id: made.body.id, revokedAt: String } })
  t.equal(await read(made.body.key), 401)
  t.equal(await read(fresh.body.key), 200)
  const again = await call('DELETE', `/v1/api-keys/${made.body.id}`)
  t.same(again.body, revoked.body)
  const { apiKeys, nextCursor } = (await call('GET', '/v1/api-keys')).body
  t.match(apiKeys, [
    { name: 'new', revokedAt: null },
    { name: 'old', revokedAt: String },
  ])
  t.equal(nextCursor, null)
  t.notMatch(JSON.stringify(apiKeys), made.body.key)
  const first = (await call('GET', '/v1/api-keys?limit=1')).body
  const second = (await call('GET', `/v1/api-keys?limit=1&cursor=${first.nextCursor}`)).body
  t.match([...first.apiKeys, ...second.apiKeys], [{ name: 'new' }, { name: 'old' }])
  t.match(await call('DELETE', '/v1/api-keys/none'), {
    status: 404,
    body: { code: 'api_key_not_found' },
  })
  const { rows } = await service.core.db.pool.query('select * from api_keys')
  t.notMatch(JSON.stringify(rows), made.body.key, 'only its digest is stored')
})

t.test('a key is made once under an idempotency key, and shown once', async (t) => {
  const { call } = await openApp(t)
  const body = { name: 'n', scopes: ['admin'] }
  const replies = await Promise.all(
    Array.from({ length: 10 }, () => call('POST', '/v1/api-keys', body, { idempotencyKey: 'k' })),
  )
  t.equal(replies.filter(({ status }) => status === 201).length, 1)
  const others = replies.filter(({ status }) => status !== 201)
  for (const other of others) {
    t.match(other, { status: 409, body: { code: 'secret_not_replayed' } })
  }
  t.equal((await call('GET', '/v1/api-keys')).body.apiKeys.length, 1)
})

t.test('keys with unknown scopes, without a name or already over are refused', async (t) => {
  const { call } = await openApp(t)
  for (const body of [
    {},
    { name: 'n', scopes: [] },
    { name: 'n', scopes: ['root'] },
    { name: '', scopes: ['admin'] },
    { name: 'n', scopes: 'admin' },
    { name: 'n', scopes: ['admin'], expiresAt: '2001-01-01T00:00:00Z' },
  ]) {
    t.equal((await call('POST', '/v1/api-keys', body)).status, 400, JSON.stringify(body))
  }
  t.same((await call('GET', '/v1/api-keys')).body.apiKeys, [])
})

t.test('the last key that could make another can not be revoked', async (t) => {
  const first = await openApp(t)
  const one = (await first.call('POST', '/v1/api-keys', { name: 'a', scopes: ['admin'] })).body
  const two = (await first.call('POST', '/v1/api-keys', { name: 'b', scopes: ['admin'] })).body
  const service = await openApp(t, { url: first.url, environment: { CREDITD_API_KEY: '' } })
  const { call } = service
  const revoke = (id: string, key: string) =>
    call('DELETE', `/v1/api-keys/${id}`, undefined, { key })
  const both = await Promise.all([revoke(one.id, one.key), revoke(two.id, two.key)])
  t.same(both.map(({ status }) => status).sort(), [200, 409])
  t.match(
    both.find(({ status }) => status === 409),
    { body: { code: 'last_admin_key' } },
  )
})

t.test('knowing a caller takes microseconds', async (t) => {
  const auth = createAuthenticator({
    findKey: async () => ({ id: 'k', scopes: ['admin'], expiresAtMs: null }),
    touchSession: async () => null,
    configuredKey: ADMIN_KEY,
    now: () => performance.now(),
  })
  await auth.authenticate(`Bearer ${KEY}`)
  const rounds = 20_000
  const startedMs = performance.now()
  for (let n = 0; n < rounds; n++) auth.authenticate(`Bearer ${KEY}`)
  const each = ((performance.now() - startedMs) / rounds) * 1_000
  t.ok(each < 100, `${each.toFixed(1)} µs`)
})
