import t from 'tap'
import { openShop } from './kit.js'

const PLAN = [
  ['pkg_starter', 100, 500, false],
  ['pkg_popular', 500, 2_000, true],
  ['pkg_value', 2_000, 7_000, false],
  ['pkg_enterprise', 10_000, 30_000, false],
] as const

t.test('a new service sells the four packages, to see for anybody', async (t) => {
  const { call } = await openShop(t)
  const { status, body } = await call('GET', '/v1/packages', undefined, { key: null })
  t.equal(status, 200)
  t.same(
    body.packages.map((p: Record<string, unknown>) => [p.id, p.credits, p.price, p.popular]),
    PLAN,
  )
  t.ok(body.packages.every(({ currency }: { currency: string }) => currency === 'USD'))
  t.equal(body.nextCursor, null)
})

t.test('packages are paged by sort order, and none is lost or told twice', async (t) => {
  const { call } = await openShop(t)
  for (const id of ['a', 'b', 'c']) {
    await call('PUT', `/v1/packages/${id}`, {
      ...{ name: id, credits: 1, price: 0, currency: 'eur', sortOrder: 20 },
    })
  }
  const ids: string[] = []
  for (let cursor = ''; ; ) {
    const { body } = await call('GET', `/v1/packages?limit=2${cursor}`)
    ids.push(...body.packages.map(({ id }: { id: string }) => id))
    if (body.nextCursor === null) break
    cursor = `&cursor=${body.nextCursor}`
  }
  const all = ['pkg_starter', 'a', 'b', 'c', 'pkg_popular', 'pkg_value', 'pkg_enterprise']
  t.same(ids, all)
  for (const cursor of ['nonsense', 'WzEsMl0', 'WzEuNSwiYSJd']) {
    t.equal((await call('GET', `/v1/packages?cursor=${cursor}`)).status, 400, cursor)
  }
})

t.test('a package is made, changed in part, and taken out of sale', async (t) => {
  const shop = await openShop(t)
  const { call } = shop
  const path = '/v1/packages/pkg_tiny'
  const made = await call('PUT', path, { name: 'Tiny', credits: 5, price: 99, currency: 'eur' })
  t.match(made, {
    status: 201,
    body: {
      id: 'pkg_tiny',
      currency: 'EUR',
      stripePriceId: null,
      creemPriceId: null,
      description: null,
      popular: false,
      active: true,
      sortOrder: 0,
    },
  })
  const changed = await call('PUT', path, { stripePriceId: 'price_1', description: 'x' })
  t.match(changed, { status: 200, body: { name: 'Tiny', price: 99, stripePriceId: 'price_1' } })
  const cleared = await call('PUT', path, { description: null, active: false })
  t.match(cleared, { status: 200, body: { description: null, stripePriceId: 'price_1' } })
  const ids = async (query: string) =>
    (await call('GET', `/v1/packages${query}`)).body.packages.map(({ id }: { id: string }) => id)
  t.notOk((await ids('')).includes('pkg_tiny'))
  t.ok((await ids('?all=true')).includes('pkg_tiny'))
  t.match(await call('PUT', path, {}), { status: 200, body: { active: false } })
})

t.test('all=true is for operators alone', async (t) => {
  const { call, open, begin } = await openShop(t)
  await open('ada')
  const scopes = ['credits:read', 'purchases:write']
  const { key } = (await call('POST', '/v1/api-keys', { name: 'k', scopes })).body
  const ask = async (as: string | null) =>
    (await call('GET', '/v1/packages?all=true', undefined, { key: as })).status
  t.equal(await ask(null), 401)
  t.equal(await ask('nonsense'), 401)
  t.equal(await ask(key), 403)
  t.equal(await ask(await begin('ada')), 403)
  t.equal((await call('GET', '/v1/packages?all=yes')).status, 400)
})

t.test('what is no package is refused, field by field', async (t) => {
  const { call } = await openShop(t)
  const good = { name: 'x', credits: 1, price: 0, currency: 'USD' }
  const put = async (id: string, body: unknown) => {
    const { status, body: reply } = await call('PUT', `/v1/packages/${id}`, body)
    return [status, reply.errors?.[0]?.path]
  }
  for (const [field, values] of [
    ['name', ['', 1, null, 'x'.repeat(201), '\u0000']],
    ['credits', [0, -1, 1.5, '1', 2 ** 53, null]],
    ['price', [-1, 0.5, '500', 2 ** 53, null]],
    ['currency', ['', 'US', 'USDT', 'U1D', '€€€', null, 840]],
    ['stripePriceId', ['', 'a b', 'é', 'x'.repeat(256), 1]],
    ['creemPriceId', ['', '\n', 1]],
    ['description', ['', 'x'.repeat(1_001), 5]],
    ['popular', ['true', 1, null]],
    ['active', ['no', null]],
    ['sortOrder', [1.5, 1_000_001, 'a', null]],
    ['colour', ['red']],
  ] as const) {
    for (const value of values) {
      t.same(await put('p', { ...good, [field]: value }), [400, field], `${field} ${value}`)
    }
  }
  for (const field of ['name', 'credits', 'price', 'currency'] as const) {
    const { [field]: _, ...rest } = good
    t.same(await put('p', rest), [400, field], `a new one without ${field}`)
  }
  for (const id of ['P', 'a.b', 'a%20b', 'x'.repeat(65), 'é']) {
    t.same((await put(encodeURIComponent(id), good))[0], 400, id)
  }
  t.equal((await call('GET', '/v1/packages')).body.packages.length, 4, 'nothing was made')
})

t.test("a provider's price belongs to one package, also for two at once", async (t) => {
  const { call } = await openShop(t)
  for (const field of ['stripePriceId', 'creemPriceId']) {
    const put = (id: string) => call('PUT', `/v1/packages/${id}`, { [field]: 'one' })
    const both = await Promise.all([put('pkg_starter'), put('pkg_popular')])
    t.same(both.map(({ status }) => status).sort(), [200, 400])
    const refused = both.find(({ status }) => status === 400)
    t.match(refused?.body, { errors: [{ path: field, message: /The package pkg_\w+ has it/ }] })
    t.equal((await put(both[0]?.status === 200 ? 'pkg_starter' : 'pkg_popular')).status, 200)
  }
})

t.test('a package is made once under a key, and shows in the audit log', async (t) => {
  const { call } = await openShop(t)
  const body = { name: 'x', credits: 1, price: 0, currency: 'USD' }
  const put = () => call('PUT', '/v1/packages/x', body, { idempotencyKey: 'k' })
  const [first, again] = [await put(), await put()]
  t.equal(first.status, 201)
  t.same([again.status, again.body], [201, first.body])
  const other = await call(
    'PUT',
    '/v1/packages/x',
    { ...body, credits: 2 },
    { idempotencyKey: 'k' },
  )
  t.equal(other.status, 422)
  const { entries } = (await call('GET', '/v1/audit-log')).body
  t.ok(entries.some(({ action }: { action: string }) => action === 'package_put'))
})

t.test('a change of a package is seen by the other instance at once', async (t) => {
  const one = await openShop(t)
  const other = await openShop(t, { url: one.url })
  await other.call('GET', '/v1/packages')
  await one.call('PUT', '/v1/packages/pkg_starter', { price: 1 })
  const { packages } = (await other.call('GET', '/v1/packages')).body
  t.equal(packages[0].price, 1)
})
