import type { AddressInfo } from 'node:net'
import net from 'node:net'
import t from 'tap'
import { AppError, ERRORS, type ErrorCode } from '../../src/errors.js'
import { ADMIN_KEY, openApp } from '../helpers/app.js'
import { freshDatabase, type TestContext } from '../helpers/database.js'

const problemOf = (code: ErrorCode) => {
  const [status, title] = ERRORS[code]
  return {
    type: `urn:creditd:problem:${code}`,
    title,
    status,
    code,
    detail: String,
    instance: String,
    requestId: String,
  }
}

t.test('every failure of the way in is a problem document', async (t) => {
  const { app, call, open } = await openApp(t)
  await open('a', 10)
  const path = '/v1/accounts/a/charges'
  const json = { 'content-type': 'application/json' }
  const cases: [ErrorCode, Awaited<ReturnType<typeof call>>][] = [
    ['invalid_request', await call('POST', path, '{"amount":')],
    ['invalid_request', await call('POST', path, '[1,')],
    ['invalid_request', await call('POST', path, '\ufeff{"amount":1}')],
    ['invalid_request', await call('POST', path, '[]')],
    ['invalid_request', await call('POST', path, 'null')],
    ['invalid_request', await call('POST', path, '"text"')],
    ['invalid_request', await call('GET', '/v1/accounts/%E0%A4%A')],
    ['unauthenticated', await call('POST', path, { amount: 1 }, { key: null })],
    ['not_found', await call('GET', '/v1/nothing')],
    ['not_found', await call('GET', '/')],
    ['not_found', await call('POST', '/v1/accounts/a/charges/more', { amount: 1 })],
    ['method_not_allowed', await call('PATCH', path, { amount: 1 })],
    ['method_not_allowed', await call('GET', '/v1/operations')],
    ['payload_too_large', await call('POST', path, { metadata: { a: 'x'.repeat(17_000) } })],
    ['unsupported_media_type', await call('POST', path, 'a=1', { headers: form })],
    ['unsupported_media_type', await call('POST', path, '{}', { headers: garbage })],
  ]
  for (const [code, { status, headers, body }] of cases) {
    t.equal(status, ERRORS[code][0], `${code}: ${JSON.stringify(body)}`)
    t.equal(headers['content-type'], 'application/problem+json', code)
    t.match(body, problemOf(code))
    t.equal(body.requestId, headers['x-request-id'], code)
  }
  const binary = await app.inject({
    method: 'POST',
    url: path,
    headers: { authorization: `Bearer ${ADMIN_KEY}`, ...json },
    payload: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
  })
  t.match(binary.json(), { status: 400, errors: [{ message: /UTF-8/ }] })
  t.equal((await call('GET', '/v1/accounts/a/balance')).body.balance, 10)
})

const form = { 'content-type': 'application/x-www-form-urlencoded' }
const garbage = { 'content-type': 'nonsense' }

t.test('405 names the methods that a path has', async (t) => {
  const { call } = await openApp(t)
  const allowed = async (method: string, path: string) =>
    (await call(method, path, undefined)).headers.allow
  t.equal(await allowed('PATCH', '/v1/accounts/a'), 'DELETE, GET, HEAD, PUT')
  t.equal(await allowed('DELETE', '/v1/accounts'), 'GET, HEAD')
  t.equal(await allowed('PUT', '/v1/transfers?x=1'), 'POST')
  t.equal(await allowed('OPTIONS', '/health'), 'GET, HEAD')
})

t.test('401 says how to authenticate', async (t) => {
  const { call } = await openApp(t)
  const anonymous = await call('GET', '/v1/accounts', undefined, { key: null })
  t.equal(anonymous.headers['www-authenticate'], 'Bearer realm="creditd"')
})

/** A way to the database that can be cut. */
const openProxy = async (t: TestContext, url: string) => {
  const target = new URL(url)
  const place = { port: Number(target.port), host: target.hostname }
  const sockets = new Set<net.Socket>()
  const server = net.createServer((near) => {
    const far = net.connect(place)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    near.pipe(far).pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  target.port = String((server.address() as AddressInfo).port)
  const cut = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(cut)
  return { url: target.href, cut }
}

t.test('a database that is away is 503 wherever it is needed, and soon', async (t) => {
  const { url } = await freshDatabase(t)
  const proxy = await openProxy(t, url)
  const { call, open } = await openApp(t, {
    url: proxy.url,
    environment: { REQUEST_TIMEOUT_MS: '1000' },
  })
  await open('a', 10)
  proxy.cut()
  const calls = [
    ['GET', '/v1/accounts/a'],
    ['GET', '/v1/accounts/a/transactions'],
    ['GET', '/v1/audit-log'],
    ['PUT', '/v1/accounts/a'],
    ['PUT', '/v1/prices/p', { cost: 1 }],
    ['POST', '/v1/accounts/a/charges', { amount: 1 }],
  ] as const
  for (const [method, path, body] of calls) {
    const reply = await call(method, path, body)
    t.match(reply, { status: 503, headers: { 'retry-after': /^\d+$/ } }, `${method} ${path}`)
  }
  t.match(await call('GET', '/health/ready'), { status: 503, body: { status: 'unavailable' } })
  t.equal((await call('GET', '/health')).status, 200)
})

t.test('what nobody expected is a 500 that hides its message', async (t) => {
  const { call, core, open } = await openApp(t)
  await open('a', 10)
  await core.db.pool.query('alter table profiles rename to gone')
  const reply = await call('GET', '/v1/accounts/a')
  t.match(reply, { status: 500, body: { code: 'internal' } })
  t.notMatch(JSON.stringify(reply.body), /profiles|relation/)
  await core.db.pool.query('alter table gone rename to profiles')
  t.equal((await call('GET', '/v1/accounts/a')).status, 200)
})

t.test('the validation of a request says what is wrong, and where', async (t) => {
  const { call } = await openApp(t)
  const body = await call('POST', '/v1/transfers', { from: '-', amount: 0, more: 1 })
  t.same(
    body.body.errors.map((error: { in: string; path: string }) => [error.in, error.path]),
    [
      ['body', 'from'],
      ['body', 'to'],
      ['body', 'amount'],
      ['body', 'more'],
    ],
  )
  const query = await call('GET', '/v1/accounts?limit=900')
  t.match(query.body, { detail: /limit/, errors: [{ in: 'query', path: 'limit' }] })
  const large = await call('PUT', '/v1/accounts/a', { metadata: { a: 'x'.repeat(17_000) } })
  t.match(large.body.detail, 'The body may have 16384 bytes')
  const long = await call('GET', `/v1/accounts/${'x'.repeat(513)}`)
  t.match(long, { status: 400, body: { detail: /longer than 512 characters/ } })
  const key = await call('PUT', '/v1/accounts/a', {}, { idempotencyKey: 'x'.repeat(256) })
  t.match(key.body.detail, 'The Idempotency-Key must be 1 to 255 printable ASCII characters')
  const params = await call('GET', '/v1/accounts/-/balance')
  t.match(params.body.errors, [{ in: 'path', path: 'accountId' }])
})

t.test('a request id is taken over when it is sane', async (t) => {
  const { call } = await openApp(t)
  const idFor = async (id: string) =>
    (await call('GET', '/health', undefined, { headers: { 'x-request-id': id } })).headers[
      'x-request-id'
    ]
  t.equal(await idFor('trace-1.2_3:4'), 'trace-1.2_3:4')
  for (const id of ['', 'a b', 'x'.repeat(65), 'a"b', 'ä']) t.not(await idFor(id), id)
  t.not(await idFor(''), await idFor(''))
})

t.test('bytes that are no HTTP are answered with a problem and cut off', async (t) => {
  const { app } = await openApp(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('NOT HTTP\r\n\r\n'))
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(text))
  })
  t.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/)
  t.match(answer, /application\/problem\+json/)
  t.match(JSON.parse(answer.split('\r\n\r\n')[1] ?? ''), { code: 'invalid_request', status: 400 })
})

t.test('a refusal takes no stack, whichever side it is on; a fault does', async (t) => {
  const calm: ErrorCode[] = ['invalid_request', 'insufficient_credits', 'overloaded', 'maintenance']
  for (const code of calm) t.notMatch(new AppError(code, 'no').stack, /\n +at /, code)
  for (const code of ['internal', 'outcome_unknown', 'database_unavailable'] as const) {
    t.match(new AppError(code, 'no').stack, /errors\.test/, code)
  }
  t.ok(Error.stackTraceLimit > 0)
})

t.test('every error code has a documented problem', async (t) => {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const error = new AppError(code, 'x')
    t.ok(error.status >= 400 && error.status < 600, code)
    t.match(code, /^[a-z_]+$/)
  }
})
