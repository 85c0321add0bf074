import t from 'tap'
import { ADMIN_KEY, openApp } from '../helpers/app.js'

/** As JSON text, for not all of it is JSON. */
const BAD_AMOUNTS = [
  '0',
  '-0',
  '-1',
  '1.5',
  '"1"',
  '""',
  '1e400',
  '-1e400',
  'NaN',
  'Infinity',
  'null',
  'true',
  '[1]',
  '{}',
  '9007199254740992',
  '9007199254740993',
  '9223372036854775807',
  '1e-7',
  '01',
  '+1',
  '0x10',
  '1_000',
]

t.test('no bad number is taken for an amount, and none has an effect', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  await open('b', 100)
  const { body: charge } = await call('POST', '/v1/accounts/a/charges', { amount: 10 })
  const { body: held } = await call('POST', '/v1/accounts/a/holds', { amount: 5, ttlSeconds: 60 })
  const { transactionId } = charge
  const fields: [string, (amount: string) => string][] = [
    ['a/charges', (amount) => `{"amount":${amount}}`],
    ['a/charges', (amount) => `{"action":"x","amount":${amount}}`],
    ['a/grants', (amount) => `{"amount":${amount}}`],
    ['a/holds', (amount) => `{"amount":${amount},"ttlSeconds":60}`],
    ['a/holds', (amount) => `{"amount":1,"ttlSeconds":${amount}}`],
    [`a/holds/${held.holdId}/capture`, (amount) => `{"amount":${amount}}`],
    [`a/holds/${held.holdId}/extend`, (amount) => `{"ttlSeconds":${amount}}`],
    ['a/refunds', (amount) => `{"transactionId":"${transactionId}","amount":${amount}}`],
  ]
  const bad = [...fields, ['', (amount: string) => `{"from":"a","to":"b","amount":${amount}}`]]
  for (const [path, bodyOf] of bad as typeof fields) {
    const url = path === '' ? '/v1/transfers' : `/v1/accounts/${path}`
    for (const amount of BAD_AMOUNTS) {
      const reply = await call('POST', url, bodyOf(amount))
      t.match(reply, { status: 400, body: { code: 'invalid_request' } }, `${url} ${amount}`)
    }
  }
  for (const amount of BAD_AMOUNTS.filter((bad) => bad !== '-1')) {
    const reply = await call(
      'POST',
      '/v1/accounts/a/adjustments',
      `{"amount":${amount},"reason":"x"}`,
    )
    t.match(reply, { status: 400, body: { code: 'invalid_request' } }, `adjustment ${amount}`)
  }
  for (const amount of BAD_AMOUNTS) {
    const text = `{"operations":[{"type":"charge","accountId":"a","amount":${amount}}]}`
    const { status, body } = await call('POST', '/v1/operations', text)
    t.equal(status === 200 ? body.outcomes[0].status : status, 400, `bulk ${amount}`)
  }
  const { body } = await call('GET', '/v1/accounts/a/balance')
  t.match(body, { balance: 90, held: 5, seq: 3 })
})

t.test('the largest amount is exact, and one credit beyond it is 422', async (t) => {
  const { call, open } = await openApp(t)
  await open('a')
  const amount = Number.MAX_SAFE_INTEGER
  const path = '/v1/accounts/a'
  const granted = await call('POST', `${path}/grants`, { amount })
  t.match(granted, { status: 201, body: { amount, balanceAfter: amount } })
  t.match(await call('POST', `${path}/grants`, { amount: 1 }), {
    status: 422,
    body: { code: 'limit_exceeded' },
  })
  t.equal((await call('POST', `${path}/charges`, { amount })).body.balanceAfter, 0)
})

const metadataOf = (bytes: number) => ({ text: 'x'.repeat(bytes - '{"text":""}'.length) })

const nested = (depth: number): object => (depth === 1 ? { end: true } : { in: nested(depth - 1) })

t.test('metadata comes back equal to what was sent', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 1_000)
  const good = [
    '{}',
    '{"a":null,"b":[],"c":[[1,{"d":2.5}]],"e":"\\u00e9\\ud83d\\ude00","f":1e21,"g":-0.1}',
    '{"__proto__":{"isAdmin":true},"constructor":{"prototype":1},"toString":1}',
    '{"a":1,"a":2}',
    '{"":"empty name","with space":true,"quote\\"":"\\\\"}',
    JSON.stringify(metadataOf(8_192)),
    JSON.stringify({ text: 'é'.repeat(4_090) }),
    JSON.stringify(nested(16)),
  ]
  for (const text of good) {
    const sent = `{"amount":1,"metadata":${text}}`
    const name = text.slice(0, 80)
    const reply = await call('POST', '/v1/accounts/a/charges', sent, { idempotencyKey: sha(text) })
    t.equal(reply.status, 201, name)
    t.same(canonical(reply.body.metadata), canonical(JSON.parse(text)), name)
    const read = await call('GET', `/v1/transactions/${reply.body.transactionId}`)
    t.same(canonical(read.body.metadata), canonical(JSON.parse(text)), name)
    const put = await call('PUT', '/v1/accounts/a', `{"metadata":${text}}`)
    t.same(canonical(put.body.metadata), canonical(JSON.parse(text)), name)
    const again = await call('POST', '/v1/accounts/a/charges', sent, { idempotencyKey: sha(text) })
    t.same(again.body, reply.body)
  }
  t.equal(({} as { isAdmin?: boolean }).isAdmin, undefined)
})

t.test('metadata beyond its limits is refused and has no effect', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 1_000)
  const bad = [
    'null',
    '[]',
    '"text"',
    '1',
    '{"a":"\\u0000"}',
    '{"a\\u0000":1}',
    '{"a":["\\ud800"]}',
    '{"\\udc00":1}',
    '{"a":1e400}',
    JSON.stringify(metadataOf(8_193)),
    JSON.stringify({ text: 'é'.repeat(4_091) }),
    JSON.stringify(nested(17)),
    `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`,
    `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`,
  ]
  for (const text of bad) {
    for (const [method, url, body] of [
      ['POST', '/v1/accounts/a/charges', `{"amount":1,"metadata":${text}}`],
      ['POST', '/v1/accounts/a/grants', `{"amount":1,"metadata":${text}}`],
      ['PUT', '/v1/accounts/a', `{"metadata":${text === 'null' ? '1' : text}}`],
    ] as const) {
      const reply = await call(method, url, body)
      t.match(reply, { status: 400, body: { code: 'invalid_request' } }, text.slice(0, 60))
    }
  }
  t.equal((await call('GET', '/v1/accounts/a/balance')).body.seq, 1)
})

t.test('unknown fields are refused by name', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  const reply = await call('POST', '/v1/accounts/a/charges', { amount: 1, ammount: 2 })
  t.match(reply, {
    status: 400,
    body: { errors: [{ in: 'body', path: 'ammount', message: 'Unknown field' }] },
  })
  const proto = await call('POST', '/v1/accounts/a/charges', '{"amount":1,"__proto__":{"a":1}}')
  t.equal(proto.status, 400)
  for (const path of ['/v1/accounts/a/freeze', '/v1/transfers', '/v1/operations', '/v1/api-keys']) {
    t.equal((await call('POST', path, { more: 1 })).status, 400, path)
  }
})

t.test('a body that is packed, or in another charset, is refused before it is read', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 100)
  const statusOf = async (headers: Record<string, string>) => {
    const { status, body } = await call(
      'POST',
      '/v1/accounts/a/charges',
      { amount: 1 },
      { headers },
    )
    return status === 415 ? body.detail : status
  }
  for (const encoding of ['gzip', 'br', 'identity, gzip', '']) {
    const detail = await statusOf({ 'content-encoding': encoding })
    t.match(detail, encoding === '' ? 201 : /without Content-Encoding/, encoding)
  }
  const typeOf = (charset: string) => ({ 'content-type': `application/json${charset}` })
  for (const charset of [';charset=latin1', '; Charset="UTF-16"', '; charset=']) {
    t.match(await statusOf(typeOf(charset)), /in the charset utf-8/, charset)
  }
  for (const charset of ['', '; charset=utf-8', ';charset="UTF-8"', '; profile=x']) {
    t.equal(await statusOf(typeOf(charset)), 201, charset)
  }
  t.equal(await statusOf({ 'content-encoding': 'Identity' }), 201)
  t.equal((await call('GET', '/v1/accounts/a/balance')).body.balance, 94)
})

t.test('an empty body counts as an empty object, whatever its content type', async (t) => {
  const { app, open } = await openApp(t)
  const types = [undefined, 'application/json', 'application/x-www-form-urlencoded']
  for (const [index, type] of types.entries()) {
    const id = `account-${index}`
    await open(id)
    const authorization = `Bearer ${ADMIN_KEY}`
    const headers = { authorization, ...(type && { 'content-type': type }) }
    const statusOf = async (method: 'PUT' | 'POST' | 'DELETE', path: string) =>
      (await app.inject({ method, url: `/v1/accounts/${id}${path}`, headers })).statusCode
    t.equal(await statusOf('PUT', ''), 200, String(type))
    t.equal(await statusOf('POST', '/freeze'), 200, String(type))
    t.equal(await statusOf('POST', '/charges'), 400, String(type))
    t.equal(await statusOf('DELETE', ''), 200, String(type))
  }
})

/** Object keys in order, with `__proto__` as the own key that it is. */
const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => [key, canonical(member)])
}

const sha = (text: string) => `k${text.length}-${text.replace(/[^a-z]/g, '').slice(0, 40)}`
