import t from 'tap'
import { openApp } from '../helpers/app.js'
import type { ApiDocument } from '../helpers/contract.js'

/** Something that each parameter of a path may be. */
const PATH_VALUE = 'x1'

type Body = { readonly content?: Readonly<Record<string, { readonly example?: unknown }>> }

t.test('an unknown parameter of the query is refused on every route', async (t) => {
  const { app, call, open } = await openApp(t)
  await open('someone')
  const { token } = (await call('POST', '/v1/sessions', { accountId: 'someone' })).body
  const { paths } = app.swagger() as unknown as ApiDocument
  let count = 0
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, { requestBody }] of Object.entries(operations)) {
      const place = `${method.toUpperCase()} ${path}`
      const url = `${path.replace(/\{\w+\}/g, PATH_VALUE)}?unknownParameter=1`
      const { content } = (requestBody ?? {}) as Body
      const body = content?.['application/json']?.example
      const isOfSession = path.startsWith('/v1/sessions/current')
      const reply = await call(method.toUpperCase(), url, body, isOfSession ? { key: token } : {})
      t.equal(reply.status, 400, place)
      const fault = { in: 'query', path: 'unknownParameter', message: 'Unknown parameter' }
      const told: object[] = reply.body.errors ?? []
      t.same(told.at(-1), fault, place)
      count += 1
    }
  }
  t.ok(count >= 40, `${count} routes`)
  const { accounts } = (await call('GET', '/v1/accounts')).body
  t.match(accounts, [{ accountId: 'someone', balance: 0 }], 'and nothing has happened')
  t.equal((await call('GET', '/v1/sessions/current', undefined, { key: token })).status, 200)
})

t.test('a query that is empty, or twice the same, does no harm', async (t) => {
  const { call } = await openApp(t)
  t.equal((await call('GET', '/health?')).status, 200)
  t.equal((await call('GET', '/v1/tiers?')).status, 200)
  const twice = await call('GET', '/v1/accounts?limit=1&limit=2')
  t.match(twice.body.errors, [{ path: 'limit', message: 'Must be a whole number from 1 to 200' }])
  t.equal((await call('GET', '/v1/tiers?__proto__=1')).status, 400)
})
