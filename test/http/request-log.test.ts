import t from 'tap'
import { createLog } from '../../src/log.js'
import { ADMIN_KEY, openApp } from '../helpers/app.js'
import type { TestContext } from '../helpers/database.js'

const SECRET = `ck_live_${'s'.repeat(43)}`

const setUp = async (t: TestContext, level: string) => {
  const lines: string[] = []
  const destination = { write: (line: string) => lines.push(line) }
  const log = createLog({ level, secrets: [ADMIN_KEY], destination })
  const app = await openApp(t, { log })
  const requests = () =>
    lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'request')
  return { ...app, lines, requests }
}

t.test('at level debug every request is one line, with nothing that was sent', async (t) => {
  const { call, open, app, lines, requests } = await setUp(t, 'debug')
  await open('secret-account', 10)
  const before = requests().length
  t.equal(before, 2, 'opened, granted')
  const headers = { 'x-request-id': 'mine', cookie: 'secret-cookie' }
  const body = { amount: 11, metadata: { note: 'secret-note' } }
  const path = '/v1/accounts/secret-account'
  await call('POST', `${path}/charges`, body, { idempotencyKey: 'secret-key', headers })
  await call('GET', `${path}/transactions?cursor=secret-query`)
  await call('GET', '/v1/accounts', undefined, { key: SECRET })
  await call('GET', `/secret-path/${SECRET}?key=${SECRET}`)
  await app.inject({ url: '/v1/accounts/%E0%A4%A' })
  const text = lines.join('')
  t.notMatch(text, /secret-|ck_live_s/)
  t.notMatch(text, ADMIN_KEY)
  const route = '/v1/accounts/:accountId/charges'
  const refused = { requestId: 'mine', method: 'POST', route, status: 402 }
  t.match(requests().slice(before), [
    { ...refused, code: 'insufficient_credits', durationMs: Number, level: 20 },
    { method: 'GET', route: '/v1/accounts/:accountId/transactions', status: 400 },
    { method: 'GET', route: '/v1/accounts', status: 401, code: 'unauthenticated' },
    { method: 'GET', route: 'unmatched', status: 404, code: 'not_found' },
  ])
  const fields = ['level', 'time', 'pid', 'hostname', 'msg', 'code']
  for (const line of requests()) {
    const own = Object.keys(line).filter((name) => !fields.includes(name))
    t.same(own.sort(), ['durationMs', 'method', 'requestId', 'route', 'status'])
  }
})

t.test('at level info there is none', async (t) => {
  const { open, requests } = await setUp(t, 'info')
  await open('a', 10)
  t.same(requests(), [])
})
