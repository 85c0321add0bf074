import type { Test } from 'tap'
import { atOnce, tally } from './kit-client.js'
import type { Ground } from './kit-ground.js'
import type { Case } from './kit-suite.js'

/** None of these is a whole number of credits from 1 to 2^53-1; written as they are sent. */
const BAD_AMOUNTS = [
  ...['0', '-1', '-0', '1.5', '0.1', '1e-1', '"1"', '""', 'null', 'true', '[]', '[1]', '{}'],
  ...['1e400', '-1e400', '9007199254740992', '9223372036854775807', '18446744073709551616', '1e20'],
]
/** These are not even JSON. */
const NO_JSON = ['NaN', 'Infinity', '01', '+1', '0x10', '1_000', '.5', '1.', '']

type Field = {
  readonly method: string
  readonly path: string
  /** The body with `#` where the number goes. */
  readonly body: string
  readonly also?: readonly string[]
  /** What this field takes although an amount would not. */
  readonly takes?: readonly string[]
}

const fieldsOf = (account: string, holdId: string, transactionId: string): Field[] => {
  const post = (path: string, body: string, rest: Partial<Field> = {}): Field => ({
    method: 'POST',
    path: `/v1/accounts/${account}/${path}`,
    body,
    ...rest,
  })
  const action = '"action":"input.price"'
  return [
    post('charges', '{"amount":#}'),
    post('charges', `{${action},"quantity":#}`, { also: ['1000001'] }),
    post('charges', '{"amount":#,"dryRun":true}'),
    post('grants', '{"amount":#}'),
    post('grants', '{"amount":1,"priority":#}', { also: ['1001'], takes: ['0', '-0'] }),
    post('refunds', `{"transactionId":"${transactionId}","amount":#}`),
    post('adjustments', '{"amount":#,"reason":"x"}', { takes: ['-1'] }),
    post('holds', '{"amount":#,"ttlSeconds":60}'),
    post('holds', '{"amount":1,"ttlSeconds":#}', { also: ['2592001'] }),
    post(`holds/${holdId}/capture`, '{"amount":#}'),
    post(`holds/${holdId}/extend`, '{"ttlSeconds":#}'),
    { method: 'POST', path: '/v1/transfers', body: `{"from":"${account}","to":"peer","amount":#}` },
    { method: 'PUT', path: '/v1/prices/input.price', body: '{"cost":#}', takes: ['0', '-0'] },
    {
      method: 'PUT',
      path: '/v1/prices/input.price',
      body: '{"cost":1,"tierCosts":{"pro":#}}',
      takes: ['0', '-0'],
    },
    {
      method: 'PUT',
      path: '/v1/prices/input.price',
      body: '{"cost":1,"minimum":#}',
      takes: ['0', '-0'],
    },
  ]
}

const seqOf = async ({ call }: Ground, account: string): Promise<number> =>
  (await call('GET', `/v1/accounts/${account}/balance`)).body.seq

/** Charges of neighbours that go on while something odd is sent; all of them must succeed. */
const withNeighbours = async (
  t: Test,
  ground: Ground,
  account: string,
  odd: () => Promise<unknown>,
): Promise<void> => {
  const charge = () => ground.call('POST', `/v1/accounts/${account}/charges`, { amount: 1 })
  const [before, , after] = await Promise.all([atOnce(20, charge), odd(), atOnce(20, charge)])
  t.same(tally([...before, ...after]), { 201: 40 }, 'the neighbours are unaffected')
}

const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`

/** A valid call for each body there is. */
const bodiesOf = (account: string): [string, string, object][] => [
  ['PUT', account, {}],
  ['POST', `${account}/charges`, { amount: 1 }],
  ['POST', `${account}/grants`, { amount: 1 }],
  ['POST', `${account}/refunds`, { transactionId: 'txn_x' }],
  ['POST', `${account}/adjustments`, { amount: 1, reason: 'x' }],
  ['POST', `${account}/holds`, { amount: 1, ttlSeconds: 1 }],
  ['POST', `${account}/freeze`, {}],
  ['PUT', `${account}/membership`, { tier: 'pro' }],
  ['POST', '/v1/transfers', { from: 'strict', to: 'peer', amount: 1 }],
  ['POST', '/v1/operations', { operations: [] }],
  ['PUT', '/v1/prices/strict', { cost: 1 }],
  ['PUT', '/v1/tiers', { tiers: [] }],
  ['POST', '/v1/api-keys', { name: 'x', scopes: ['admin'] }],
]

/** What fails before any account is touched, with its status. */
const failuresOf = (account: string): [number, Parameters<Ground['call']>][] => {
  const charges = `${account}/charges`
  return [
    [404, ['GET', '/nothing/here']],
    [404, ['POST', '/v1/nothing', {}]],
    [404, ['GET', '/v1/accounts/nobody-here']],
    [404, ['GET', '/v1/transactions/txn_AAAA']],
    [404, ['POST', '/v1/accounts/nobody-here/charges', { amount: 1 }]],
    [405, ['PATCH', account, {}]],
    [405, ['DELETE', '/v1/transfers']],
    [415, ['POST', charges, '<a/>', { headers: { 'content-type': 'application/xml' } }]],
    [400, ['POST', charges, '{"amount":1']],
    [400, ['POST', charges, '\ufeff{"amount":1}x']],
    [400, ['POST', charges, '[]']],
    [400, ['POST', charges, '"x"']],
    [400, ['POST', charges]],
    [400, ['PUT', '/v1/accounts/%00', {}]],
    [400, ['PUT', '/v1/accounts/%ff', {}]],
    [400, ['PUT', `/v1/accounts/${'x'.repeat(129)}`, {}]],
    [400, ['PUT', `/v1/accounts/${'x'.repeat(600)}`, {}]],
    [400, ['GET', `${account}/transactions?limit=0`]],
    [400, ['GET', `${account}/transactions?limit=201`]],
    [400, ['GET', `${account}/transactions?limit=x`]],
    [400, ['GET', `${account}/transactions?cursor=x`]],
    [400, ['GET', `${account}/transactions?from=yesterday`]],
    [400, ['GET', `${account}/transactions?type=nothing`]],
    [400, ['POST', charges, { amount: 1 }, { idempotencyKey: 'x'.repeat(256) }]],
    [400, ['POST', charges, { amount: 1 }, { idempotencyKey: '""' }]],
    [401, ['POST', charges, { amount: 1 }, { key: null }]],
    [401, ['POST', charges, { amount: 1 }, { key: `ck_test_${'x'.repeat(43)}` }]],
    [401, ['GET', account, undefined, { headers: { authorization: 'Basic eDp5' } }]],
  ]
}

/** Whatever is sent: a clear refusal without effect, or exactly what was asked. */
export const inputCases: readonly Case[] = [
  [
    'the table of bad numbers on every field of a number: 400 and no effect',
    async (t, ground) => {
      const { call, open } = ground
      await Promise.all([open('numbers', 1_000), open('peer')])
      await call('PUT', '/v1/prices/input.price', { cost: 1 })
      const charges = '/v1/accounts/numbers/charges'
      const { transactionId } = (await call('POST', charges, { amount: 9 })).body
      const hold = { amount: 9, ttlSeconds: 600 }
      const { holdId } = (await call('POST', '/v1/accounts/numbers/holds', hold)).body
      const seq = await seqOf(ground, 'numbers')
      let tried = 0
      for (const field of fieldsOf('numbers', holdId, transactionId)) {
        const bad = [...BAD_AMOUNTS, ...NO_JSON, ...(field.also ?? [])]
        const wrong = bad.filter((text) => !field.takes?.includes(text))
        const replies = await Promise.all(
          wrong.map((text) => call(field.method, field.path, field.body.replace('#', text))),
        )
        const taken = wrong.filter((_, i) => replies[i]?.status !== 400)
        t.same(taken, [], `${field.path} ${field.body}`)
        t.ok(replies.every(({ body }) => body.code === 'invalid_request'))
        tried += wrong.length
      }
      t.ok(tried > 350, `${tried} tried`)
      t.equal(await seqOf(ground, 'numbers'), seq, 'nothing was written')
      t.match((await call('GET', '/v1/prices/input.price')).body, { cost: 1, tierCosts: undefined })
    },
  ],
  [
    'bad operations within a bulk call fail alone',
    async (t, { call, open, balanceOf }) => {
      await open('bulk-input', 100)
      const good = '{"type":"charge","accountId":"bulk-input","amount":1}'
      const metadata = (text: string) => good.replace('}', `,"metadata":${text}}`)
      const bad = [
        ...BAD_AMOUNTS.map((text) => good.replace(':1}', `:${text}}`)),
        metadata('{"a":"\\u0000"}'),
        metadata('{"a":"\\ud800"}'),
        metadata('{"\\udc00":1}'),
        metadata(nested(17)),
        metadata(JSON.stringify({ a: 'x'.repeat(8_192) })),
        ...['null', '1', '"charge"', '[]', '{}', '{"type":"open"}', '{"type":"__proto__"}'],
        good.replace('"bulk-input"', '"no such id"'),
        good.replace('}', ',"unknown":1}'),
        good.replace('}', ',"idempotencyKey":""}'),
      ]
      const mixed = bad.flatMap((text) => [good, text])
      const { body, status } = await call('POST', '/v1/operations', `{"operations":[${mixed}]}`)
      t.equal(status, 200)
      const statuses = body.outcomes.map((outcome: { status: number }) => outcome.status)
      t.same(
        statuses,
        bad.flatMap(() => [201, 400]),
      )
      t.equal(await balanceOf('bulk-input'), 100 - bad.length)
    },
  ],
  [
    'metadata: kept equal up to its limits, refused beyond them, neighbours unaffected',
    async (t, ground) => {
      const { call, open } = ground
      await Promise.all([open('metadata', 100), open('metadata-2', 100)])
      const path = '/v1/accounts/metadata/charges'
      const send = (metadata: string) => call('POST', path, `{"amount":1,"metadata":${metadata}}`)
      const full = JSON.stringify({ a: 'x'.repeat(8_192 - 8) })
      const wide = JSON.stringify({ a: '€'.repeat(2_728) })
      const good = [
        full,
        wide,
        nested(16),
        '{"__proto__":{"isAdmin":true},"constructor":{"prototype":1},"toString":null}',
        '{"":"","a b":"\\u0001\\u007f\\u2028😀","n":1.5e-7,"big":123456789012345680000}',
        '{"amount":5,"actor":"me","status":"failed","key":"k"}',
      ]
      const tooLong = JSON.stringify({ a: 'x'.repeat(8_192 - 7) })
      const bad = ['{"a":"\\u0000"}', '{"\\u0000":1}', '{"a":"\\ud83d"}', '{"a":["\\udc00"]}']
      const refused = [...bad, tooLong, nested(17), nested(1_000), '[]', '"x"', '1', 'null']
      await withNeighbours(t, ground, 'metadata-2', async () => {
        for (const text of good) {
          const { status, body } = await send(text)
          t.equal(status, 201, text.slice(0, 60))
          const row = await call('GET', `/v1/transactions/${body.transactionId}`)
          const wanted = JSON.stringify(sorted(JSON.parse(text)))
          for (const shown of [body.metadata, row.body.metadata]) {
            t.ok(JSON.stringify(sorted(shown)) === wanted, 'equal to what was sent')
          }
        }
        for (const text of refused) {
          t.match(await send(text), { status: 400, body: { code: 'invalid_request' } })
        }
      })
      t.equal(await seqOf(ground, 'metadata'), 1 + good.length)
      t.equal(Object.hasOwn(Object.prototype, 'isAdmin'), false)
    },
  ],
  [
    'bodies that are too large, too deep or said twice',
    async (t, ground) => {
      const { call, open, balanceOf } = ground
      await Promise.all([open('bodies', 100), open('bodies-2', 100)])
      const path = '/v1/accounts/bodies/charges'
      const tooLarge = { status: 413, body: { code: 'payload_too_large' } }
      await withNeighbours(t, ground, 'bodies-2', async () => {
        const deep = `{"amount":1,"metadata":${nested(2_000)}}`
        t.match(await call('POST', path, deep), { status: 400 })
        const deeper = `{"operations":[{"type":"charge","accountId":"bodies","amount":1,"metadata":`
        const bulk = await call('POST', '/v1/operations', `${deeper}${nested(10_000)}}]}`)
        t.match(bulk, { status: 200, body: { outcomes: [{ status: 400 }] } })
        const arrays = `${'['.repeat(10_000)}${']'.repeat(10_000)}`
        t.match(await call('POST', '/v1/operations', arrays), { status: 400 })
        t.match(await call('POST', path, `{"amount":1${' '.repeat(16_384)}}`), tooLarge)
        const megabyte = `{"operations":[${' '.repeat(1_048_576)}]}`
        t.match(await call('POST', '/v1/operations', megabyte), tooLarge)
        const ten = `{"amount":1,"metadata":{"a":"${'x'.repeat(10_000_000)}"}}`
        // the refusal comes while the body is still being sent, which may cut the sending short
        const reply = await call('POST', path, ten).catch((error: NodeJS.ErrnoException) => {
          if (error.code === 'EPIPE' || error.code === 'ECONNRESET') return tooLarge
          throw error
        })
        t.match(reply, tooLarge)
      })
      t.equal(await balanceOf('bodies'), 100, 'nothing was charged')
      const twice = await call('POST', path, '{"amount":50,"amount":2}')
      t.match(twice, { status: 201, body: { amount: -2 } }, 'the last one counts, as in JSON')
      t.equal(await balanceOf('bodies'), 98)
      const proto = '{"amount":1,"__proto__":{"dryRun":true}}'
      t.match(await call('POST', path, proto), { status: 400 }, 'an unknown field like any other')
      const prototype = await call('POST', path, '{"__proto__":{"amount":5}}')
      t.match(prototype, { status: 400 })
      t.equal(await balanceOf('bodies'), 98)
    },
  ],
  [
    'unknown fields are refused everywhere, and every failure is a problem document',
    async (t, ground) => {
      const { call, open } = ground
      await open('strict', 100)
      const account = '/v1/accounts/strict'
      for (const [method, path, body] of bodiesOf(account)) {
        const reply = await call(method, path, { ...body, nonsense: 1 })
        t.match(reply, { status: 400, body: { code: 'invalid_request' } }, `${method} ${path}`)
      }
      for (const [status, [method, path, body, options]] of failuresOf(account)) {
        const reply = await call(method, path, body, options)
        t.equal(reply.status, status, `${method} ${path.slice(0, 60)}`)
        t.equal(reply.headers['x-request-id'], reply.body.requestId)
      }
      const allowed = await call('PATCH', account, {})
      t.match(allowed.headers.allow, /GET.*PUT/)
      t.match((await call('GET', `${account}/balance`)).body, { balance: 100, seq: 1 })
      t.equal((await call('PUT', account, '')).status, 200, 'an empty body counts as {}')
    },
  ],
]

/** Key order is not kept, and no promise of JSON. */
const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => [key, sorted(member)])
}
