import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import net from 'node:net'
import t from 'tap'
import { ADMIN_KEY, openApp, type TestApp } from '../helpers/app.js'

const BEARER = `Authorization: Bearer ${ADMIN_KEY}`
const BODY = '{"amount":1}'

/** A call with these lines as its headers, as they stand. */
const charger = async ({ app }: TestApp) => {
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return async (...lines: string[]) => {
    const socket = net.connect(port, '127.0.0.1')
    const head = ['POST /v1/accounts/a/charges HTTP/1.1', 'Host: x', 'Connection: close', ...lines]
    const type = ['Content-Type: application/json', `Content-Length: ${BODY.length}`]
    socket.write(`${[...head, ...type].join('\r\n')}\r\n\r\n${BODY}`)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    await once(socket, 'close')
    const [, status = ''] = /^HTTP\/1\.1 (\d+)/.exec(text) ?? []
    return { status: Number(status), body: JSON.parse(text.split('\r\n\r\n')[1] ?? '') }
  }
}

t.test('a header that means one thing is refused when it is sent twice', async (t) => {
  const app = await openApp(t)
  await app.open('a', 10)
  const charge = await charger(app)
  const twice: [path: string, name: string, ...lines: string[]][] = [
    ['idempotency-key', 'Idempotency-Key', BEARER, 'Idempotency-Key: k', 'Idempotency-Key: l'],
    ['idempotency-key', 'Idempotency-Key', BEARER, 'idempotency-key: k', 'IDEMPOTENCY-KEY: k'],
    ['authorization', 'Authorization', BEARER, 'authorization: Bearer other'],
    ['authorization', 'Authorization', BEARER, BEARER],
  ]
  for (const [path, name, ...lines] of twice) {
    const { status, body } = await charge(...lines)
    t.equal(status, 400, name)
    t.equal(body.detail, `The header ${name} was sent more than once`)
    t.match(body.errors, [{ in: 'header', path, message: 'Must be sent once' }])
  }
  t.equal((await app.call('GET', '/v1/accounts/a/balance')).body.balance, 10, 'nothing is charged')
  t.equal((await charge(BEARER, 'Idempotency-Key: a, b', 'X-Twice: 1', 'X-Twice: 2')).status, 201)
})
