import t from 'tap'
import { SCOPES, type Scope } from '../../src/http/actor.js'
import type { Reply } from '../helpers/app.js'
import { openScene, type Scene } from './kit.js'

type Operation = { readonly method: string; readonly template: string; readonly about: string }

/** DESIGN's table of who may what, for keys, by the first rule that matches. */
type Rule = readonly Scope[] | 'public' | 'signed' | 'nobody'
const KEYS: readonly (readonly [RegExp, Rule])[] = [
  [/^GET \/((api\/)?health.*|openapi\.json|openapi\.yaml)$/, 'public'],
  [/^POST \/v1\/sessions\/guest$/, 'public'],
  [/^GET \/v1\/credits\/status$/, 'public'],
  [/^GET \/v1\/packages$/, 'public'],
  [/^POST \/v1\/webhooks\/\w+$/, 'signed'],
  [/^(GET|DELETE) \/v1\/sessions\/current$/, 'nobody'],
  [/^\w+ \/v1\/sessions(\/current\/convert)?$/, ['sessions:write']],
  [/^DELETE .*\/sessions$/, ['sessions:write']],
  [/^POST .*\/(charges|holds|capture|release|extend)$/, ['credits:write']],
  [/^POST .*\/(grants|refunds|adjustments|transfers)$/, ['grants:write']],
  [/^GET \/v1\/plans(\/\{\w+\})?$/, 'public'],
  [/^(PUT|DELETE) .*\/subscription$/, ['grants:write']],
  [/^(PUT .*\/membership|DELETE .*\/grants\/\{\w+\})$/, ['grants:write']],
  [/^GET .*\/purchases(\/\{\w+\})?$/, ['credits:read', 'purchases:write']],
  [/^POST \/v1\/purchases/, ['purchases:write']],
  [/^POST \/v1\/operations$/, ['credits:write', 'grants:write']],
  [/^GET \/v1\/rate-limits/, ['limits:write', 'credits:read']],
  [/^POST \/v1\/rate-limits/, ['limits:write']],
  [/^GET \/v1\/(api-keys|audit-log|reconcile)$/, ['admin']],
  [/^\w+ \/v1\/webhook-endpoints/, ['admin']],
  [/^GET /, ['credits:read']],
  [/./, ['admin']],
]

/** What sessions reach: of their own account, of themselves, or of what is nobody's. */
const SESSIONS: readonly (readonly [RegExp, 'own' | 'self' | 'shared' | 'narrowed'])[] = [
  [/^GET \/v1\/accounts\/\{accountId\}$/, 'own'],
  [/^GET .*\/(balance|transactions|usage|grants|holds|access|subscription|purchases)$/, 'own'],
  [/^GET .*\/holds\/\{holdId\}$/, 'own'],
  [/^POST .*\/(charges|holds)$/, 'own'],
  [/^GET \/v1\/(transactions|purchases)\/\{\w+\}$/, 'narrowed'],
  [/^POST \/v1\/purchases$/, 'self'],
  [/^GET \/v1\/(prices|prices\/\{action\}|tiers)$/, 'shared'],
  [/^\w+ \/v1\/sessions\/current(\/convert)?$/, 'self'],
]

const operationsOf = ({ app }: Scene): Operation[] => {
  const { paths = {} } = app.swagger() as unknown as {
    paths?: Record<string, Record<string, { description: string }>>
  }
  return Object.entries(paths).flatMap(([template, item]) =>
    Object.entries(item).map(([method, { description }]) => ({
      method: method.toUpperCase(),
      template,
      about: description,
    })),
  )
}

const ruleOf = <T>(rules: readonly (readonly [RegExp, T])[], name: string): T | undefined =>
  rules.find(([pattern]) => pattern.test(name))?.[1]

/** Accounts of two users, with a transaction, a hold and a grant that can be named. */
const furnish = async (scene: Scene) => {
  const { call, open } = scene
  await call('PUT', '/v1/prices/draw', { cost: 1 })
  await open('ada', 100)
  await open('bob', 100)
  await call('PUT', '/v1/accounts/ada/subscription', { planId: 'free' })
  const charge = await call('POST', '/v1/accounts/ada/charges', { amount: 1 })
  const hold = await call('POST', '/v1/accounts/ada/holds', { amount: 1, ttlSeconds: 60 })
  const purchase = { accountId: 'ada', packageId: 'pkg_starter' }
  const bought = await call('POST', '/v1/purchases', purchase)
  const ids: Record<string, string> = {
    accountId: 'ada',
    transactionId: charge.body.transactionId,
    holdId: hold.body.holdId,
    grantId: charge.body.grants[0].grantId,
    purchaseId: bought.body.purchaseId,
    packageId: 'pkg_starter',
    action: 'draw',
    planId: 'free',
  }
  const pathOf = (template: string, other: Record<string, string> = {}) =>
    template.replace(/\{(\w+)\}/g, (_all, name) => ({ ...ids, ...other })[name] ?? 'x')
  return { pathOf }
}

/** Without a body and a query: who may call gets 400 at worst, and changes nothing. */
const ask = async (scene: Scene, operation: Operation, path: string, key: string | null) => {
  const { statusCode, body, headers } = await scene.app.inject({
    method: operation.method as 'GET',
    url: path,
    headers: key === null ? {} : { authorization: `Bearer ${key}` },
  })
  const isJson = /json/.test(String(headers['content-type']))
  return { status: statusCode, headers, body: isJson ? JSON.parse(body) : body } as Reply
}

const SELLING = { environment: { ENABLE_CREDIT_PURCHASES: 'true' } }

t.test('every route is open to the keys it should be open to, and to no other', async (t) => {
  const scene = await openScene(t, SELLING)
  const { pathOf } = await furnish(scene)
  const keys = new Map<Scope, string>()
  for (const scope of SCOPES) {
    const { body } = await scene.call('POST', '/v1/api-keys', { name: scope, scopes: [scope] })
    keys.set(scope, body.key)
  }
  const operations = operationsOf(scene)
  t.ok(operations.length >= 40, `${operations.length} operations`)
  for (const operation of operations) {
    const name = `${operation.method} ${operation.template}`
    const rule = ruleOf(KEYS, name) ?? []
    // what could be undone by being allowed is asked of an account that is not there
    const path = pathOf(operation.template, operation.method === 'GET' ? {} : { accountId: 'zoe' })
    const status = async (key: string | null) => (await ask(scene, operation, path, key)).status
    if (rule === 'signed') {
      // proven by its body alone: whatever the credential, it is the same to it
      for (const key of [null, 'nonsense', keys.get('admin') ?? '']) {
        t.equal(await status(key), 404, `${name}, which has no secret to prove it by`)
      }
      continue
    }
    if (rule === 'public') {
      t.match(await status(null), /^20[01]$/, name)
      t.match(await status('nonsense'), /^20[01]$/, `${name} with a bad key`)
      continue
    }
    t.equal(await status(null), 401, `${name} without a credential`)
    t.equal(await status('nonsense'), 401, `${name} with nonsense`)
    t.equal(await status(`ck_test_${'x'.repeat(43)}`), 401, `${name} with an unknown key`)
    if (rule !== 'nobody') for (const s of rule) t.match(operation.about, `\`${s}\``, name)
    for (const [scope, key] of keys) {
      const may = rule !== 'nobody' && (scope === 'admin' || rule.includes(scope))
      const seen = await status(key)
      if (may) t.notOk([401, 403].includes(seen), `${name} with ${scope}: ${seen}`)
      else t.equal(seen, 403, `${name} with ${scope}`)
    }
  }
})

t.test('every route is open to the sessions it should be open to, and to no other', async (t) => {
  const scene = await openScene(t, SELLING)
  const { pathOf } = await furnish(scene)
  for (const operation of operationsOf(scene)) {
    const { method, template } = operation
    const name = `${method} ${template}`
    if (['public', 'signed'].includes(String(ruleOf(KEYS, name)))) continue
    const reach = ruleOf(SESSIONS, name)
    const callers = {
      owner: await scene.begin('ada'),
      other: await scene.begin('bob'),
      guest: (await scene.guest()).token,
    }
    const path = pathOf(template)
    const replies = {
      owner: await ask(scene, operation, path, callers.owner),
      other: await ask(scene, operation, path, callers.other),
      guest: await ask(scene, operation, path, callers.guest),
    }
    t.not(replies.owner.status, 401, name)
    if (reach === undefined) {
      for (const [who, reply] of Object.entries(replies)) {
        t.match(reply, { status: 403, body: { code: 'forbidden' } }, `${name} by ${who}`)
      }
      continue
    }
    if (name.endsWith('/convert')) {
      t.match(replies, { owner: { status: 403 }, other: { status: 403 }, guest: { status: 400 } })
      continue
    }
    t.match(operation.about, 'session', name)
    t.notOk([403, 404].includes(replies.owner.status), `${name} by its owner`)
    const other = { transactionId: 'txn_MTc6em9l', purchaseId: 'pur_none' }
    const missing = pathOf(template, { accountId: 'zoe', ...other })
    for (const who of ['other', 'guest'] as const) {
      if (reach === 'self' || reach === 'shared') {
        t.equal(replies[who].status, replies.owner.status, `${name} by ${who}`)
        continue
      }
      const nothing = await ask(scene, operation, missing, callers[who])
      t.equal(replies[who].status, 404, `${name} by ${who}`)
      t.same(tellOf(replies[who]), tellOf(nothing), `${name}: as if it were not there`)
    }
  }
})

/** All that a refusal tells, but for what the caller itself has said. */
const tellOf = ({ status, body, headers }: Reply) => {
  const { instance: _, requestId: __, detail, ...rest } = body
  return {
    status,
    ...rest,
    detail: detail.replace(/\b(ada|zoe|pur_\w+)\b/, 'it'),
    headers: Object.keys(headers).sort(),
  }
}

t.test("another's account looks as to a key one that is not there", async (t) => {
  const scene = await openScene(t)
  await furnish(scene)
  const foreign = await scene.as(await scene.begin('bob'), 'GET', '/v1/accounts/ada/balance')
  const missing = await scene.call('GET', '/v1/accounts/zoe/balance')
  t.equal(foreign.status, 404)
  t.same(tellOf(foreign), { ...tellOf(missing), headers: tellOf(foreign).headers })
})

t.test('a session spends by action, at the price of the list, and never by amount', async (t) => {
  const { call, open, as, begin } = await openScene(t)
  await call('PUT', '/v1/prices/draw', { cost: 3 })
  await open('ada', 10)
  const token = await begin('ada')
  const charges = '/v1/accounts/ada/charges'
  const charged = await as(token, 'POST', charges, { action: 'draw' })
  t.match(charged, { status: 201, body: { amount: -3, balanceAfter: 7 } })
  for (const body of [{ amount: 1 }, { amount: 1, action: 'draw' }, { amount: 1, dryRun: true }]) {
    t.match(await as(token, 'POST', charges, body), { status: 403, body: { code: 'forbidden' } })
  }
  const estimate = await as(token, 'POST', charges, { action: 'draw', dryRun: true })
  t.match(estimate, { status: 200, body: { amount: -3 } })
  const holds = '/v1/accounts/ada/holds'
  t.equal((await as(token, 'POST', holds, { amount: 1, ttlSeconds: 60 })).status, 403)
  const held = await as(token, 'POST', holds, { action: 'draw', ttlSeconds: 60 })
  t.match(held, { status: 201, body: { amountHeld: 3 } })
  const { holdId } = held.body
  for (const act of ['capture', 'release', 'extend']) {
    const body = act === 'extend' ? { ttlSeconds: 60 } : {}
    t.equal((await as(token, 'POST', `${holds}/${holdId}/${act}`, body)).status, 403, act)
  }
  const operations = [{ type: 'charge', accountId: 'ada', action: 'draw' }]
  t.equal((await as(token, 'POST', '/v1/operations', { operations })).status, 403)
  t.match((await call('GET', '/v1/accounts/ada/balance')).body, { balance: 7, available: 4 })
  t.match((await call('GET', '/v1/audit-log?accountId=ada')).body.entries[0], {
    actor: /^session:[0-9a-f]{16}$/,
  })
})

t.test('a session lowers no price by variables below 0; a back end may use them', async (t) => {
  const { call, open, as, begin } = await openScene(t)
  await call('PUT', '/v1/prices/chat', { formula: 'tokens * 0.001 + 10' })
  await open('ada', 100)
  const token = await begin('ada')
  const cheap = { action: 'chat', variables: { tokens: -10_000 } }
  const refusal = {
    status: 400,
    body: {
      code: 'invalid_request',
      detail: /variables\.tokens: Must be at least 0/,
      errors: [{ in: 'body', path: 'variables.tokens' }],
    },
  }
  const charges = '/v1/accounts/ada/charges'
  t.match(await as(token, 'POST', charges, cheap), refusal)
  t.match(await as(token, 'POST', charges, { ...cheap, dryRun: true }), refusal)
  t.match(await as(token, 'POST', '/v1/accounts/ada/holds', { ...cheap, ttlSeconds: 60 }), refusal)
  t.equal((await as(token, 'POST', charges, { ...cheap, quantity: -1 })).status, 400)
  const none = { action: 'chat', variables: { tokens: 0 } }
  t.match(await as(token, 'POST', charges, none), { status: 201, body: { amount: -10 } })
  t.match(await call('POST', charges, cheap), { status: 201, body: { amount: 0 } })
})

t.test("a session's idempotency keys are its account's own, and no back end's", async (t) => {
  const { call, open, begin } = await openScene(t)
  await call('PUT', '/v1/prices/draw', { cost: 3 })
  await open('ada', 10)
  const [token, next] = [await begin('ada'), await begin('ada')]
  const charge = (key: string | undefined, idempotencyKey = 'order-1') =>
    call(
      'POST',
      '/v1/accounts/ada/charges',
      { action: 'draw' },
      { ...(key && { key }), idempotencyKey },
    )
  const first = await charge(token)
  t.match(first, { status: 201, body: { balanceAfter: 7 } })
  const again = await charge(next)
  t.same(again.body, first.body, 'the same key in a later session charges once')
  t.equal(again.headers['idempotent-replayed'], 'true')
  t.match(await charge(undefined), { status: 201, body: { balanceAfter: 4 } }, 'a back end’s own')
})
