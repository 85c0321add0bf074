import t from 'tap'
import { openApp } from '../helpers/app.js'

type Operation = {
  readonly description: string
  readonly parameters?: readonly { readonly $ref?: string }[]
  readonly responses: Readonly<Record<string, { readonly headers?: object }>>
}

/** Which policy a route has, by the first rule that matches. */
const RULES: readonly (readonly [RegExp, string | null])[] = [
  [/^GET \/(health|metrics|openapi|alerts)/, null],
  [/^GET \/api\/health/, null],
  [/^POST \/v1\/sessions(\/guest)?$/, 'auth'],
  [/^POST \/v1\/accounts\/\{accountId\}\/holds$/, 'booking'],
  [/^POST \/v1\/purchases$/, 'payment'],
  [/^POST \/v1\/webhooks\//, 'webhook'],
  [/^GET \/v1\/accounts\/\{accountId\}\/(transactions|usage|grants|holds|purchases)$/, 'search'],
  [/^GET \/v1\/transactions\/\{transactionId\}$/, 'search'],
  [/^GET \/v1\/(accounts|prices|tiers|api-keys|audit-log|rate-limits)$/, 'search'],
  [/^GET \/v1\/(packages|plans|invites|events)$/, 'search'],
  [/./, 'api'],
]

t.test('every route is held to its policy and says so', async (t) => {
  const { app } = await openApp(t)
  const paths = app.swagger().paths as unknown as Record<string, Record<string, Operation>>
  const seen = new Set<string | null>()
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, { description, parameters = [], responses }] of Object.entries(item)) {
      const name = `${method.toUpperCase()} ${path}`
      const policy = RULES.find(([pattern]) => pattern.test(name))?.[1] ?? null
      seen.add(policy)
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
  for (const policy of ['api', 'search', 'auth', 'booking', null]) t.ok(seen.has(policy))
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
