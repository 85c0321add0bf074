import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer as createPlainServer, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { createPost } from '../../src/events/post.js'
import { createResolve, resolveByMachine } from '../../src/events/resolve.js'
import { isPublicAddress } from '../../src/events/target.js'
import { temporaryDirectory } from '../helpers/server.js'
import { enqueueMany, openEvents, openReceiver } from './kit.js'

const MESSAGE = { headers: { 'webhook-id': 'evt_1' }, body: '{}' }
const never = new AbortController().signal
const now = () => Date.parse('2026-11-21T09:00:00Z')
const open = { resolve: resolveByMachine, allowPrivate: true, now }

t.test('a name that leads to a private address is refused when it is connected to', async (t) => {
  const receiver = await openReceiver(t)
  const { port } = new URL(receiver.url)
  const lies = [
    ['127.0.0.1'],
    ['8.8.8.8', '127.0.0.1'],
    ['::1'],
    ['::ffff:127.0.0.1'],
    ['64:ff9b::7f00:1'],
    ['169.254.169.254'],
    ['fe80::1%eth0'],
    ['nonsense'],
  ]
  for (const addresses of lies) {
    const post = createPost({ resolve: async () => addresses, allowPrivate: false, now })
    const attempt = await post(`https://rebound.example:${port}/`, MESSAGE, never)
    const error = 'its address is in a private network'
    t.same(attempt, { kind: 'failed', status: null, error, retryAfterMs: null }, addresses.join())
  }
  const literal = createPost({ resolve: async () => [], allowPrivate: false, now })
  t.match(await literal(`https://127.0.0.1:${port}/`, MESSAGE, never), { error: /private/ })
  t.match(await literal(`https://[::ffff:127.0.0.1]:${port}/`, MESSAGE, never), {
    error: /private/,
  })
  t.match(await literal(receiver.url, MESSAGE, never), { kind: 'failed' }, 'nor is http')
  t.equal(receiver.connections(), 0, 'nobody was connected to')
  // the same name where private networks are allowed: it is the address that was refused
  const near = createPost({ resolve: async () => ['127.0.0.1'], allowPrivate: true, now })
  t.same(await near(`http://rebound.example:${port}/`, MESSAGE, never), { kind: 'delivered' })
  t.match(receiver.received, [{ headers: { host: `rebound.example:${port}` } }])
})

t.test('the name is looked up anew at every attempt', async (t) => {
  const receiver = await openReceiver(t)
  const { port } = new URL(receiver.url)
  const answers = [['127.0.0.1'], [], ['127.0.0.1']]
  let count = 0
  const resolve = async () => answers[count++] ?? []
  const post = createPost({ resolve, allowPrivate: true, now })
  const url = `http://somewhere.example:${port}/`
  t.match(await post(url, MESSAGE, never), { kind: 'delivered' })
  t.match(await post(url, MESSAGE, never), { kind: 'failed', error: 'it can not be reached' })
  t.match(await post(url, MESSAGE, never), { kind: 'delivered' })
})

t.test('an endpoint from when private networks were allowed is not reached after', async (t) => {
  const receiver = await openReceiver(t)
  const before = await openEvents(t)
  await before.endpoint({ url: receiver.url })
  const after = await openEvents(t, {
    url: before.url,
    environment: { WEBHOOKS_ALLOW_PRIVATE: 'false' },
  })
  await enqueueMany(after, 1)
  await after.deliver()
  t.equal(receiver.connections(), 0)
  const { body } = await after.call('GET', '/v1/webhook-endpoints')
  t.match(body.webhookEndpoints, [
    { lastFailure: { status: null, error: 'its address is in a private network' } },
  ])
})

t.test('a redirect is not followed', async (t) => {
  const [receiver, elsewhere] = [await openReceiver(t), await openReceiver(t)]
  const post = createPost(open)
  for (const status of [301, 302, 307, 308]) {
    receiver.answer({ status, headers: { location: elsewhere.url } })
    const error = `it answered ${status}, and redirects are not followed`
    t.match(await post(receiver.url, MESSAGE, never), { kind: 'failed', status, error })
  }
  t.equal(elsewhere.connections(), 0)
})

t.test('only a 2xx takes an event, whatever its body', async (t) => {
  const receiver = await openReceiver(t)
  const post = createPost(open)
  for (const status of [200, 201, 202, 204, 299]) {
    receiver.answer({ status, body: status === 204 ? '' : 'x'.repeat(1_000_000) })
    t.same(await post(receiver.url, MESSAGE, never), { kind: 'delivered' }, String(status))
  }
  for (const status of [304, 400, 401, 404, 410, 429, 500, 503]) {
    receiver.answer({ status, body: '<html>secret of the receiver</html>' })
    const attempt = await post(receiver.url, MESSAGE, never)
    t.match(attempt, { kind: 'failed', status, retryAfterMs: null })
    t.notMatch(JSON.stringify(attempt), /secret|127\.0/)
  }
  receiver.answer({ status: 503, headers: { 'retry-after': 'Sat, 21 Nov 2026 09:02:00 GMT' } })
  t.match(await post(receiver.url, MESSAGE, never), { retryAfterMs: 120_000 })
})

t.test('who does not answer in time is left, and who is not there told apart', async (t) => {
  const receiver = await openReceiver(t)
  receiver.answer('hang')
  const post = createPost({ ...open, timeoutMs: 100 })
  const late = { kind: 'failed', status: null, error: 'it did not answer in time' }
  t.match(await post(receiver.url, MESSAGE, never), late)
  const stuck = createPost({ ...open, resolve: () => new Promise(() => {}), timeoutMs: 100 })
  t.match(await stuck('http://stuck.example/', MESSAGE, never), late)
  t.match(await post('http://127.0.0.1:1/', MESSAGE, never), {
    error: 'it can not be reached: ECONNREFUSED',
  })
  const stop = new AbortController()
  const under = createPost(open)(receiver.url, MESSAGE, stop.signal)
  setTimeout(() => stop.abort(), 50)
  t.same(await under, { kind: 'stopped' })
})

t.test('a status counts, however the reply ends', async (t) => {
  const endings: ((response: ServerResponse) => void)[] = [
    (response) => void response.write('never the end'),
    (response) => void response.write('cut off', () => response.destroy()),
    (response) => void response.write('x'.repeat(100_000)),
  ]
  for (const [index, end] of endings.entries()) {
    const server = createPlainServer((_request, response) => {
      response.writeHead(200, { 'content-length': '1000000' })
      end(response)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    const { port } = server.address() as AddressInfo
    const post = createPost({ ...open, timeoutMs: 300 })
    const attempt = await post(`http://127.0.0.1:${port}/`, MESSAGE, never)
    t.same(attempt, { kind: 'delivered' }, `ending ${index}`)
  }
})

t.test('a name that does not exist is a failure like others', async (t) => {
  const post = createPost({ resolve: createResolve(), allowPrivate: false, now, timeoutMs: 5_000 })
  const attempt = await post('https://does-not-exist.invalid/', MESSAGE, never)
  t.match(attempt, { kind: 'failed', status: null })
  t.notMatch(JSON.stringify(attempt), /does-not-exist/)
})

t.test('addresses of the public internet, and others', async (t) => {
  for (const address of ['1.1.1.1', '93.184.216.34', '2606:4700::1111', '2a00:1450::1']) {
    t.ok(isPublicAddress(address), address)
  }
  for (const address of ['', 'x', '0.0.0.0', '100.127.255.255', '::', '5f00::1', '3fff::1']) {
    t.notOk(isPublicAddress(address), address)
  }
})

t.test('a receiver whose certificate nobody vouches for is sent nothing', async (t) => {
  const folder = temporaryDirectory(t)
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(folder, name))
  const subject = ['-subj', '/CN=hooks.example', '-addext', 'subjectAltName=DNS:hooks.example']
  const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject]
  execFileSync('openssl', [...made, '-keyout', `${key}`, '-out', `${cert}`], { stdio: 'ignore' })
  let requests = 0
  const files = { key: readFileSync(`${key}`), cert: readFileSync(`${cert}`) }
  const server = createServer(files, (_request, response) => {
    requests += 1
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const post = createPost({ resolve: async () => ['127.0.0.1'], allowPrivate: true, now })
  const attempt = await post(`https://hooks.example:${port}/`, MESSAGE, never)
  t.match(attempt, { kind: 'failed', status: null, error: /DEPTH_ZERO_SELF_SIGNED_CERT/ })
  t.equal(requests, 0)
})
