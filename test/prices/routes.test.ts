import { randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { createCharges } from '../../src/credits/charges/service.js'
import { createAccess } from '../../src/credits/prices/access.js'
import { createCatalogue } from '../../src/credits/prices/catalogue.js'
import { priceRoutes } from '../../src/credits/prices/routes.js'
import { createPriceStore } from '../../src/credits/prices/store.js'
import { tierRoutes } from '../../src/credits/prices/tier-routes.js'
import type { Database } from '../../src/db/open.js'
import type { Scope } from '../../src/http/actor.js'
import type { AuditEntry } from '../../src/http/audit.js'
import { createAuthenticator, keyHash, type StoredKey } from '../../src/http/auth.js'
import { createIdempotencyRecords } from '../../src/http/idempotency.js'
import { createMetrics } from '../../src/http/metrics.js'
import { createOnce } from '../../src/http/once.js'
import type { App } from '../../src/http/route.js'
import { createHttpServer } from '../../src/http/server.js'
import { canonicalJson, digestOf, newKey } from '../../src/ledger/ids.js'
import { createLedger } from '../../src/ledger/ledger.js'
import type { Operation } from '../../src/ledger/model.js'
import { openFresh, type TestContext } from '../helpers/database.js'
import { limitsInMemory } from '../helpers/limits.js'

const ADMIN = 'ck_test_the-key-of-the-operator'
const READER = `ck_test_${'r'.repeat(43)}`
const WRITER = `ck_test_${'w'.repeat(43)}`

const LEDGER_LIMITS = {
  lanes: 2,
  batchOperations: 50,
  batchBytes: 1e6,
  queueOperations: 100,
  timeoutMs: 5_000,
  cachedParts: 1_000,
}

/** A service with the routes of prices and tiers, over a database of its own. */
async function openService(t: TestContext) {
  const db = await openFresh(t)
  const ledger = await createLedger({
    pool: db.pool,
    limits: LEDGER_LIMITS,
    time: {
      monotonicMs: () => performance.now(),
      sleep: async (ms) => {
        await sleep(ms)
      },
      soon: (task) => setImmediate(task),
      random: Math.random,
    },
    onFault: (error) => t.comment(error),
    onBatch: () => {},
  })
  const catalogue = createCatalogue({
    store: createPriceStore(db),
    now: () => performance.now(),
    sleep,
  })
  const noted: AuditEntry[] = []
  const auth = { findKey, touchSession: async () => null, configuredKey: ADMIN, now: Date.now }
  const app = await createHttpServer({
    logger: pino({ level: 'silent' }),
    authenticator: createAuthenticator(auth),
    audit: { record: (entry) => noted.push(entry) },
    metrics: createMetrics({ now: () => performance.now() }),
    limits: limitsInMemory(),
    trustProxy: false,
    serializer: 'strict',
    requestTimeoutMs: 10_000,
    requestIdPrefix: 't',
    openBudget: null,
    creditSystem: { version: 'v1', rollbackMode: false },
    version: '0',
  })
  const once = onceOver(db)
  await app.register(priceRoutes, { catalogue, once })
  await app.register(tierRoutes, { catalogue, once, access: createAccess({ catalogue, ledger }) })
  t.teardown(async () => {
    await app.close()
    await ledger.close()
  })
  return { ledger, catalogue, call: callerOf(app), noted }
}

const KEYS = new Map<string, Scope>([
  [keyHash(READER), 'credits:read'],
  [keyHash(WRITER), 'credits:write'],
])

async function findKey(digest: string): Promise<StoredKey | null> {
  const scope = KEYS.get(digest)
  return scope ? { id: scope, scopes: [scope], expiresAtMs: null } : null
}

const onceOver = ({ orm }: Database) =>
  createOnce({
    records: createIdempotencyRecords({
      orm,
      now: Date.now,
      newId: randomUUID,
      sleep,
      ttlMs: 60_000,
    }),
    digest: (...values) => digestOf(...values.map((value) => canonicalJson(value))),
  })

type Method = 'GET' | 'PUT' | 'DELETE'
type Sender = { readonly key?: string; readonly headers?: Record<string, string> }

const callerOf =
  (app: App) =>
  async (
    method: Method,
    url: string,
    payload?: object,
    { key = ADMIN, headers = {} }: Sender = {},
  ) => {
    const reply = await app.inject({
      method,
      url,
      headers: { authorization: `Bearer ${key}`, ...headers },
      ...(payload && { payload }),
    })
    return { status: reply.statusCode, body: reply.json(), headers: reply.headers }
  }

type Kind<K extends Operation['kind']> = Extract<Operation, { kind: K }>
const operation = <K extends 'open' | 'grant' | 'membership' | 'freeze'>(
  kind: K,
  rest: Omit<Kind<K>, 'kind' | keyof typeof REQUEST>,
) => ({ ...REQUEST, key: newKey(), kind, ...rest }) as unknown as Operation
const REQUEST = {
  accountId: 'user-1',
  key: '',
  digest: randomUUID(),
  actor: 'test',
  requestId: null,
  metadata: null,
}

t.test('prices are set, read, listed and taken out', async (t) => {
  const { call } = await openService(t)
  const set = await call('PUT', '/v1/prices/image.generate', {
    cost: 10,
    tierCosts: { pro: 8 },
    requiredTier: 'basic',
    description: 'One picture',
  })
  t.equal(set.status, 200)
  t.match(set.body, {
    action: 'image.generate',
    cost: 10,
    tierCosts: { pro: 8 },
    requiredTier: 'basic',
    description: 'One picture',
    createdAt: /^\d{4}-.*Z$/,
    updatedAt: set.body.createdAt,
  })
  t.notOk('formula' in set.body || 'minimum' in set.body, 'what is not set is left out')
  t.same((await call('GET', '/v1/prices/image.generate')).body, set.body)
  const chat = await call('PUT', '/v1/prices/chat', { formula: '{tokens} * 0.001', minimum: 1 })
  t.match(chat.body, { action: 'chat', formula: '{tokens} * 0.001', minimum: 1 })
  const all = await call('GET', '/v1/prices')
  t.same(all.body, { prices: [chat.body, set.body], nextCursor: null })
  const first = await call('GET', '/v1/prices?limit=1')
  t.same(first.body.prices, [chat.body])
  const second = await call('GET', `/v1/prices?limit=1&cursor=${first.body.nextCursor}`)
  t.same(second.body, { prices: [set.body], nextCursor: null })
  const gone = await call('DELETE', '/v1/prices/chat')
  t.same([gone.status, gone.body], [200, chat.body])
  t.match(await call('GET', '/v1/prices/chat'), { status: 404, body: { code: 'action_not_found' } })
  t.match(await call('DELETE', '/v1/prices/chat'), {
    status: 404,
    body: { code: 'action_not_found' },
  })
  t.match(await call('GET', '/v1/prices?cursor=nonsense'), {
    status: 400,
    body: { code: 'invalid_request' },
  })
})

t.test('an action whose name has a slash can be set and read', async (t) => {
  const { call } = await openService(t)
  const url = `/v1/prices/${encodeURIComponent('openai/gpt-5:high')}`
  t.match(await call('PUT', url, { cost: 3 }), {
    status: 200,
    body: { action: 'openai/gpt-5:high' },
  })
  t.match(await call('GET', url), { status: 200, body: { cost: 3 } })
})

t.test('a price that is not valid changes nothing', async (t) => {
  const { call } = await openService(t)
  const bodies: [object | undefined, string][] = [
    [undefined, 'body cost'],
    [{}, 'body cost'],
    [{ cost: 1, formula: '1' }, 'body cost'],
    [{ formula: '1', tierCosts: { pro: 1 } }, 'body tierCosts'],
    [{ cost: -1 }, 'body cost'],
    [{ cost: 1.5 }, 'body cost'],
    [{ cost: '1' }, 'body cost'],
    [{ cost: null }, 'body cost'],
    [{ cost: 2 ** 53 }, 'body cost'],
    [{ cost: 1, minimum: -1 }, 'body minimum'],
    [{ cost: 1, tierCosts: { pro: -1 } }, 'body tierCosts.pro'],
    [{ cost: 1, tierCosts: { pro: '1' } }, 'body tierCosts.pro'],
    [{ cost: 1, tierCosts: { pro: 0.5 } }, 'body tierCosts.pro'],
    [{ cost: 1, tierCosts: [1] }, 'body tierCosts'],
    [{ cost: 1, tierCosts: { gold: 1 } }, 'body tierCosts.gold'],
    [{ cost: 1, requiredTier: 'gold' }, 'body requiredTier'],
    [{ cost: 1, requiredTier: null }, 'body requiredTier'],
    [{ cost: 1, price: 1 }, 'body price'],
    [{ cost: 1, description: 'a\u0000b' }, 'body description'],
    [{ formula: '' }, 'body formula'],
    [{ formula: 'x'.repeat(1_001) }, 'body formula'],
  ]
  for (const [body, detail] of bodies) {
    const reply = await call('PUT', '/v1/prices/image', body)
    t.match(reply, { status: 400, body: { code: 'invalid_request' } }, JSON.stringify(body))
    t.ok(reply.body.detail.startsWith(detail), `${reply.body.detail}: ${detail}`)
  }
  const own = JSON.parse('{"cost": 1, "tierCosts": {"__proto__": 5}}') as object
  t.match(await call('PUT', '/v1/prices/image', own), { status: 400 })
  for (const formula of ['tokens *', '0 - tokens', '1 / 0', 'a.b']) {
    t.match(await call('PUT', '/v1/prices/image', { formula }), {
      status: 422,
      body: { code: 'formula_error' },
    })
  }
  t.match(await call('PUT', `/v1/prices/${'a'.repeat(101)}`, { cost: 1 }), { status: 400 })
  t.match(await call('PUT', '/v1/prices/%20a', { cost: 1 }), { status: 400 })
  t.same((await call('GET', '/v1/prices')).body.prices, [])
})

t.test('tiers are replaced as a whole', async (t) => {
  const { call } = await openService(t)
  const before = await call('GET', '/v1/tiers')
  t.equal(before.body.tiers.length, 6)
  t.same(before.body.tiers[2], { id: 'pro', level: 20 })
  t.equal(before.body.nextCursor, null)
  await call('PUT', '/v1/prices/image', { cost: 1, requiredTier: 'pro' })
  const refused = await call('PUT', '/v1/tiers', { tiers: [{ id: 'gold', level: 3 }] })
  t.match(refused, { status: 409, body: { code: 'tier_in_use', tier: 'pro', action: 'image' } })
  const tiers = [
    { id: 'pro', level: 3 },
    { id: 'gold', level: 1_000 },
  ]
  t.match(await call('PUT', '/v1/tiers', { tiers }), { status: 200, body: { tiers } })
  t.same((await call('GET', '/v1/tiers')).body, { tiers, nextCursor: null })
  const bad: object[] = [
    {},
    { tiers: {} },
    { tiers: [{ id: 'a' }] },
    { tiers: [{ id: 'a', level: -1 }] },
    { tiers: [{ id: 'a', level: 1_001 }] },
    { tiers: [{ id: 'a', level: 1.5 }] },
    { tiers: [{ id: '', level: 1 }] },
    { tiers: [{ id: 'a b', level: 1 }] },
    { tiers: [{ id: 'a', level: 1, name: 'A' }] },
    { tiers: [...tiers, { id: 'pro', level: 4 }] },
    { tiers: Array.from({ length: 101 }, (_, n) => ({ id: `t${n}`, level: 1 })) },
  ]
  for (const body of bad) {
    t.match(await call('PUT', '/v1/tiers', body), { status: 400 }, JSON.stringify(body))
  }
})

t.test('reading takes credits:read, setting takes admin', async (t) => {
  const { call, noted } = await openService(t)
  for (const url of ['/v1/prices', '/v1/tiers']) {
    t.equal((await call('GET', url, undefined, { key: READER })).status, 200)
    t.equal((await call('GET', url, undefined, { key: WRITER })).status, 403)
  }
  const writes: ['PUT' | 'DELETE', string, object?][] = [
    ['PUT', '/v1/prices/image', { cost: 1 }],
    ['DELETE', '/v1/prices/image'],
    ['PUT', '/v1/tiers', { tiers: [] }],
  ]
  for (const [method, url, body] of writes) {
    for (const key of [READER, WRITER]) {
      t.equal((await call(method, url, body, { key })).status, 403, `${method} ${url}`)
    }
  }
  await call('PUT', '/v1/prices/image', { cost: 1 })
  t.match(noted.at(-1), {
    action: 'price_set',
    status: 'success',
    actor: 'key:env',
    metadata: { action: 'image', body: { cost: 1 } },
  })
})

t.test('the same key sets a price once', async (t) => {
  const { call } = await openService(t)
  const headers = { 'idempotency-key': 'set-1' }
  const first = await call('PUT', '/v1/prices/image', { cost: 1 }, { headers })
  await call('PUT', '/v1/prices/image', { cost: 2 })
  const again = await call('PUT', '/v1/prices/image', { cost: 1 }, { headers })
  t.same(again.body, first.body)
  t.equal(again.headers['idempotent-replayed'], 'true')
  t.equal((await call('GET', '/v1/prices/image')).body.cost, 2)
  const other = await call('PUT', '/v1/prices/image', { cost: 3 }, { headers })
  t.match(other, { status: 422, body: { code: 'idempotency_key_reused' } })
})

t.test('access is told as a charge would decide', async (t) => {
  const { call, ledger } = await openService(t)
  await Promise.all([
    call('PUT', '/v1/prices/image', { cost: 10, tierCosts: { pro: 8 }, requiredTier: 'basic' }),
    call('PUT', '/v1/prices/chat', { formula: 'tokens * 0.001 + 10' }),
  ])
  const ask = async (query: string, account = 'user-1') =>
    call('GET', `/v1/accounts/${account}/access?action=${query}`, undefined, { key: READER })
  t.match(await ask('image', 'nobody'), { status: 404, body: { code: 'account_not_found' } })
  await ledger.submit(operation('open', { signupBonus: 0 }))
  t.match(await ask('nothing'), { status: 404, body: { code: 'action_not_found' } })
  t.match(await ask(''), { status: 400 })
  t.match(await ask('image&quantity=0'), { status: 400 })
  t.match(await ask('image&quantity=x'), { status: 400 })
  t.same((await ask('image')).body, {
    accountId: 'user-1',
    action: 'image',
    allowed: false,
    reason: 'membership_required',
    requiredTier: 'basic',
    currentTier: null,
    price: null,
    available: 0,
  })
  await ledger.submit(
    operation('membership', { tier: 'pro', tierExpiresAtMs: ledger.now() + 3_600_000 }),
  )
  t.match((await ask('image')).body, {
    allowed: false,
    reason: 'insufficient_credits',
    price: 8,
    currentTier: 'pro',
  })
  const lot = { source: 'bonus', priority: 50, expiresAtMs: null, reason: null } as const
  await ledger.submit(operation('grant', { amount: 20, ...lot }))
  const open = (await ask('image&quantity=2')).body
  t.match(open, { allowed: true, price: 16, available: 20 })
  t.notOk('reason' in open)
  t.match((await ask('chat')).body, { allowed: true, price: null, reason: 'missing_variable' })
  await ledger.submit(operation('membership', { tier: 'pro', tierExpiresAtMs: ledger.now() - 1 }))
  t.match((await ask('image')).body, { allowed: false, currentTier: null }, 'expired is none')
  await ledger.submit(operation('freeze', {}))
  t.match((await ask('chat')).body, { allowed: false, reason: 'account_frozen' })
})

t.test('charges go by the list, and check in its order', async (t) => {
  const { call, ledger, catalogue } = await openService(t)
  await Promise.all([
    call('PUT', '/v1/prices/image', { cost: 10, tierCosts: { pro: 8 }, requiredTier: 'basic' }),
    call('PUT', '/v1/prices/chat', { formula: 'tokens * 0.001 + 10' }),
  ])
  const charges = createCharges({ ledger, catalogue })
  const charge = async (body: { action: string; variables?: Record<string, number> }) => {
    const caller = { actor: 'test', requestId: 'r', idempotencyKey: null, keySpace: 'api' as const }
    const written = await charges.charge(caller, 'user-1', body).catch((error) => error)
    return written.code ?? written.transaction.amount
  }
  t.equal(await charge({ action: 'nothing' }), 'account_not_found', 'the account comes first')
  await ledger.submit(operation('open', { signupBonus: 30 }))
  t.equal(await charge({ action: 'nothing' }), 'action_not_found')
  t.equal(await charge({ action: 'image' }), 'membership_required')
  t.equal(await charge({ action: 'chat' }), 'missing_variable')
  t.equal(await charge({ action: 'chat', variables: { tokens: 1e6 } }), 'insufficient_credits')
  t.equal(await charge({ action: 'chat', variables: { tokens: 3_500 } }), -14)
  await ledger.submit(operation('membership', { tier: 'pro', tierExpiresAtMs: null }))
  t.equal(await charge({ action: 'image' }), -8)
})
