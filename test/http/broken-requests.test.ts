import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import { createLog } from '../../src/log.js'
import { ADMIN_KEY, openApp } from '../helpers/app.js'
import type { TestContext } from '../helpers/database.js'

const GUEST = 'POST /v1/sessions/guest HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'

/** The service on a port, with all that it logs above debug, and a way to send it any bytes. */
const listen = async (t: TestContext) => {
  const lines: string[] = []
  const destination = { write: (line: string) => lines.push(line) }
  const log = createLog({ level: 'info', secrets: [ADMIN_KEY], destination })
  const environment = { REQUEST_TIMEOUT_MS: '1000', RATE_LIMIT_AUTH: '1000/1m' }
  const service = await openApp(t, { log, environment })
  const { app, call } = service
  await app.listen({ port: 0, host: '127.0.0.1' })
  lines.length = 0
  const { port } = app.server.address() as AddressInfo
  const connect = async (bytes: string) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(bytes)
    return socket
  }
  /** All that is answered until the service closes the connection. */
  const ask = async (bytes: string) => {
    const socket = await connect(bytes)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    await once(socket, 'close')
    const [head = '', body = ''] = text.split('\r\n\r\n')
    return { head, body: body === '' ? null : JSON.parse(body), status: Number(text.slice(9, 12)) }
  }
  const figures = async () => String((await call('GET', '/metrics')).body)
  /** Until the service has noticed that nobody is there any more, and has said what it says. */
  const allGone = async () => {
    const count = promisify(app.server.getConnections.bind(app.server))
    for (let n = 0; n < 100 && (await count()) > 0; n += 1) await sleep(20)
    await sleep(200)
  }
  return { connect, ask, figures, allGone, lines }
}

t.test('a body that never ends is told so, and is no failure of ours', async (t) => {
  const { ask, figures, lines } = await listen(t)
  const reply = await ask(`${GUEST}Content-Length: 50\r\n\r\n{"a`)
  t.match(reply, {
    status: 408,
    head: /\r\nconnection: close/i,
    body: { code: 'request_timeout', instance: '/v1/sessions/guest', requestId: /./ },
  })
  const charge = '/v1/accounts/ada/charges HTTP/1.1\r\nHost: x\r\nContent-Type: application/json'
  const signed = `POST ${charge}\r\nAuthorization: Bearer ${ADMIN_KEY}\r\nContent-Length: 50`
  t.match(await ask(`${signed}\r\n\r\n{`), { status: 408, body: { code: 'request_timeout' } })
  const text = await figures()
  t.match(text, /http_problems_total\{[^}]*code="request_timeout"\} 1/)
  t.match(text, /^api_error_rate 0$/m)
  t.match(text, /^transaction_failure_rate 0$/m)
  t.notMatch(text, /^api_response_time [1-9]/m)
  t.same(lines, [])
})

t.test('a caller that hangs up is no database that is away', async (t) => {
  const { connect, allGone, lines } = await listen(t)
  const socket = await connect(`${GUEST}Content-Length: 50\r\n\r\n{"a`)
  await sleep(100)
  socket.destroy()
  await allGone()
  t.same(lines, [])
})

t.test('a chunk that is none is refused, and is no database that is away', async (t) => {
  const { ask, allGone, lines } = await listen(t)
  const reply = await ask(`${GUEST}Transfer-Encoding: chunked\r\n\r\nzz\r\n`)
  t.match(reply, { status: 400, body: { code: 'invalid_request' } })
  await allGone()
  t.same(lines, [])
})

t.test('what node refuses by itself has its reason and its id', async (t) => {
  const { ask, lines } = await listen(t)
  const long = await ask(`GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`)
  t.match(long, { status: 431, body: { code: 'headers_too_large', status: 431, requestId: /./ } })
  const close = 'Connection: close\r\n\r\n'
  const nameless = await ask(`GET /v1/accounts HTTP/1.1\r\n${close}`)
  t.match(nameless, { status: 400, body: { code: 'invalid_request', detail: /Host/ } })
  t.equal((await ask(`GET /health HTTP/1.0\r\n\r\n`)).status, 200, 'HTTP/1.0 knows no Host')
  const expecting = await ask(`GET /health?x HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n`)
  t.match(expecting, {
    status: 417,
    head: /application\/problem\+json/,
    body: { code: 'expectation_failed', instance: '/health', requestId: /./ },
  })
  t.same(lines, [])
})
