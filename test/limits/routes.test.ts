import t from 'tap'
import type { PolicyName } from '../../src/policies.js'
import { openApp } from '../helpers/app.js'

type Operation = {
  readonly description: string
  readonly parameters?: readonly { readonly $ref?: string }[]
  readonly responses: Readonly<Record<string, { readonly headers?: object }>>
}

/** Every route there is, by its policy: whoever adds one says here what it is held to. */
const ROUTES: Readonly<Record<PolicyName | 'none', readonly string[]>> = {
  none: [
    'GET /health',
    'GET /health/ready',
    'GET /health/redis',
    'GET /api/health/redis',
    'GET /metrics',
    'GET /openapi.json',
    'GET /openapi.yaml',
  ],
  auth: ['POST /v1/sessions', 'POST /v1/sessions/guest'],
  booking: ['POST /v1/accounts/{accountId}/holds'],
  payment: ['POST /v1/purchases'],
  // of guests, in the place of payment: no route has it of its own
  guestCheckout: [],
  webhook: ['POST /v1/webhooks/stripe', 'POST /v1/webhooks/creem'],
  search: [
    'GET /v1/accounts',
    'GET /v1/accounts/{accountId}/grants',
    'GET /v1/accounts/{accountId}/holds',
    'GET /v1/accounts/{accountId}/purchases',
    'GET /v1/accounts/{accountId}/transactions',
    'GET /v1/accounts/{accountId}/usage',
    'GET /v1/api-keys',
    'GET /v1/audit-log',
    'GET /v1/events',
    'GET /v1/packages',
    'GET /v1/plans',
    'GET /v1/prices',
    'GET /v1/rate-limits',
    'GET /v1/tiers',
    'GET /v1/transactions/{transactionId}',
    'GET /v1/webhook-endpoints',
    'GET /v1/webhook-endpoints/{id}',
    'GET /v1/webhook-endpoints/{id}/deliveries',
  ],
  api: [
    'DELETE /v1/accounts/{accountId}',
    'DELETE /v1/accounts/{accountId}/grants/{grantId}',
    'DELETE /v1/accounts/{accountId}/sessions',
    'DELETE /v1/accounts/{accountId}/subscription',
    'DELETE /v1/api-keys/{id}',
    'DELETE /v1/prices/{action}',
    'DELETE /v1/sessions/current',
    'DELETE /v1/webhook-endpoints/{id}',
    'GET /v1/accounts/{accountId}',
    'GET /v1/accounts/{accountId}/access',
    'GET /v1/accounts/{accountId}/balance',
    'GET /v1/accounts/{accountId}/holds/{holdId}',
    'GET /v1/accounts/{accountId}/subscription',
    'GET /v1/credits/status',
    'GET /v1/plans/{planId}',
    'GET /v1/prices/{action}',
    'GET /v1/purchases/{purchaseId}',
    'GET /v1/rate-limits/{policy}/{identity}',
    'GET /v1/reconcile',
    'GET /v1/sessions/current',
    'POST /v1/accounts/{accountId}/adjustments',
    'POST /v1/accounts/{accountId}/charges',
    'POST /v1/accounts/{accountId}/freeze',
    'POST /v1/accounts/{accountId}/grants',
    'POST /v1/accounts/{accountId}/holds/{holdId}/capture',
    'POST /v1/accounts/{accountId}/holds/{holdId}/extend',
    'POST /v1/accounts/{accountId}/holds/{holdId}/release',
    'POST /v1/accounts/{accountId}/refunds',
    'POST /v1/accounts/{accountId}/unfreeze',
    'POST /v1/api-keys',
    'POST /v1/operations',
    'POST /v1/purchases/{purchaseId}/confirm',
    'POST /v1/purchases/{purchaseId}/refund',
    'POST /v1/rate-limits/{policy}/check',
    'POST /v1/sessions/current/convert',
    'POST /v1/transfers',
    'POST /v1/webhook-endpoints',
    'POST /v1/webhook-endpoints/{id}/enable',
    'POST /v1/webhook-endpoints/{id}/rotate',
    'PUT /v1/accounts/{accountId}',
    'PUT /v1/accounts/{accountId}/membership',
    'PUT /v1/accounts/{accountId}/subscription',
    'PUT /v1/packages/{packageId}',
    'PUT /v1/plans/{planId}',
    'PUT /v1/prices/{action}',
    'PUT /v1/tiers',
  ],
}

const EXPECTED = new Map(
  Object.entries(ROUTES).flatMap(([policy, names]) =>
    names.map((name) => [name, policy === 'none' ? null : policy] as const),
  ),
)

t.test('every route is held to its policy and says so', async (t) => {
  const { app } = await openApp(t)
  const paths = app.swagger().paths as unknown as Record<string, Record<string, Operation>>
  const missing = new Set(EXPECTED.keys())
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, { description, parameters = [], responses }] of Object.entries(item)) {
      const name = `${method.toUpperCase()} ${path}`
      t.ok(EXPECTED.has(name), `${name} stands in the table`)
      missing.delete(name)
      const policy = EXPECTED.get(name) ?? null
      const [, told = null] = /Rate limit: `(\w+)`\./.exec(description) ?? []
      t.equal(told, policy, name)
      t.equal('429' in responses, policy !== null, `${name} documents 429`)
      const isForKeys = /Scope: /.test(description)
      const takesUser = parameters.some(({ $ref }) => $ref?.endsWith('/OnBehalfOf'))
      t.equal(takesUser, policy !== null && isForKeys, `${name} and On-Behalf-Of`)
      for (const [status, { headers = {} }] of Object.entries(responses)) {
        const isCounted = 'RateLimit' in headers && 'RateLimit-Policy' in headers
        if (status < '300' || status === '429') t.equal(isCounted, policy !== null, name)
        t.equal('Retry-After' in headers, status === '429', `${name} ${status}`)
      }
    }
  }
  t.same([...missing], [], 'and nothing stands there that is not a route')
})

t.test('what a route says is what it does', async (t) => {
  const { app, call } = await openApp(t)
  const paths = app.swagger().paths as unknown as Record<string, Record<string, Operation>>
  let asked = 0
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, { description }] of Object.entries(item)) {
      const [, policy] = /Rate limit: `(\w+)`\./.exec(description) ?? []
      if (!/Scope: /.test(description)) continue
      asked += 1
      const url = path.replace('{accountId}', 'a').replace(/\{\w+\}/g, 'x')
      // what is refused before it is counted, such as a body that tells no payer, is not told
      const headers = { 'on-behalf-of': `user-${asked}` }
      const reply = await call(method.toUpperCase(), url, undefined, { headers })
      const told = reply.headers['ratelimit-policy']
      if (policy === undefined) t.equal(told, undefined, `${method} ${path}`)
      else if (policy !== 'payment') t.match(told, `"${policy}";q=`, `${method} ${path}`)
    }
  }
  t.ok(asked >= 40, `${asked} operations`)
})
