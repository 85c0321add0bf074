import pino from 'pino'
import t from 'tap'
import { dumpOf, openScene } from './kit.js'

const MINUTE_MS = 60_000
const TOKEN = /^cs_[A-Za-z0-9_-]{54}$/

t.test('a session of an account is begun, used, read and ended', async (t) => {
  const { call, open, as } = await openScene(t)
  await open('ada', 100)
  const begun = await call('POST', '/v1/sessions', { accountId: 'ada' })
  t.match(begun, { status: 201, body: { token: TOKEN, accountId: 'ada', guest: false } })
  const { token } = begun.body
  t.match(await as(token, 'GET', '/v1/accounts/ada/balance'), {
    status: 200,
    body: { balance: 100 },
  })
  const current = await as(token, 'GET', '/v1/sessions/current')
  t.match(current, { status: 200, body: { accountId: 'ada', guest: false, expiresAt: String } })
  t.notOk('token' in current.body, 'the token is shown once')
  t.match(await as(token, 'DELETE', '/v1/sessions/current'), {
    status: 200,
    body: { accountId: 'ada', revoked: 1 },
  })
  t.match(await as(token, 'GET', '/v1/accounts/ada/balance'), {
    status: 401,
    body: { code: 'unauthenticated', detail: 'The session is unknown, expired or revoked' },
  })
  t.equal((await as(token, 'DELETE', '/v1/sessions/current')).status, 401)
})

t.test('a session lives 15 minutes after each use, and a day at most', async (t) => {
  const { open, as, begin, clock, call } = await openScene(t)
  await open('ada', 100)
  const begun = (await call('POST', '/v1/sessions', { accountId: 'ada' })).body
  const lives = (body: { expiresAt: string }) => Date.parse(body.expiresAt)
  t.equal(Date.parse(begun.endsAt) - lives(begun), 86_400_000 - 900_000)
  const idle = await begin('ada')
  const used = await begin('ada')
  const status = async (token: string) =>
    (await as(token, 'GET', '/v1/accounts/ada/balance')).status
  for (let minutes = 14; minutes < 24 * 60; minutes += 14) {
    clock.aheadMs = minutes * MINUTE_MS
    if ((await status(used)) !== 200) t.fail(`ended after ${minutes} minutes of use`)
  }
  t.equal(await status(idle), 401, 'the one that was not used has long ended')
  const last = (await as(used, 'GET', '/v1/sessions/current')).body
  t.equal(last.expiresAt, last.endsAt, 'it is no longer prolonged beyond its end')
  clock.aheadMs = 24 * 60 * MINUTE_MS + 1_000
  t.equal(await status(used), 401, 'a day is all there is')

  clock.aheadMs = 0
  const edge = await begin('ada')
  clock.aheadMs += 15 * MINUTE_MS - 2_000
  t.equal(await status(edge), 200, 'just in time')
  clock.aheadMs += 15 * MINUTE_MS + 1
  t.equal(await status(edge), 401, 'just too late')
})

t.test("a guest's session lives 5 minutes after each use", async (t) => {
  const { as, guest, clock } = await openScene(t)
  const { token, accountId } = await guest()
  t.match(accountId, /^guest_[A-Za-z0-9_-]{22}$/)
  const balance = () => as(token, 'GET', `/v1/accounts/${accountId}/balance`)
  t.match(await balance(), { status: 200, body: { balance: 0 } })
  clock.aheadMs += 5 * MINUTE_MS - 2_000
  t.match(await as(token, 'GET', '/v1/sessions/current'), { status: 200, body: { guest: true } })
  clock.aheadMs += 5 * MINUTE_MS - 2_000
  t.equal((await balance()).status, 200)
  clock.aheadMs += 5 * MINUTE_MS + 1
  t.equal((await balance()).status, 401)
})

t.test('the times are settings', async (t) => {
  const { call, open } = await openScene(t, {
    environment: {
      SESSION_TTL_SECONDS: '60',
      GUEST_SESSION_TTL_SECONDS: '7200',
      SESSION_MAX_SECONDS: '3600',
    },
  })
  await open('ada')
  const spanOf = ({ expiresAt, endsAt }: { expiresAt: string; endsAt: string }) =>
    Date.parse(endsAt) - Date.parse(expiresAt)
  const user = (await call('POST', '/v1/sessions', { accountId: 'ada' })).body
  t.equal(spanOf(user), 3_540_000)
  const guest = (await call('POST', '/v1/sessions/guest', undefined, { key: null })).body
  t.equal(spanOf(guest), 0, 'none lives longer than any may')
})

t.test('all sessions of an account end at once, and no other', async (t) => {
  const { call, open, as, begin } = await openScene(t)
  await open('ada')
  await open('bob')
  const tokens = [await begin('ada'), await begin('ada'), await begin('ada')]
  const other = await begin('bob')
  t.match(await call('DELETE', '/v1/accounts/ada/sessions'), {
    status: 200,
    body: { accountId: 'ada', revoked: 3 },
  })
  for (const token of tokens) {
    t.equal((await as(token, 'GET', '/v1/accounts/ada/balance')).status, 401)
  }
  t.equal((await as(other, 'GET', '/v1/accounts/bob/balance')).status, 200)
  t.match((await call('DELETE', '/v1/accounts/ada/sessions')).body, { revoked: 0 })
  t.match(await call('DELETE', '/v1/accounts/nobody/sessions'), {
    status: 404,
    body: { code: 'account_not_found' },
  })
  const again = await begin('ada')
  t.equal((await as(again, 'GET', '/v1/accounts/ada/balance')).status, 200, 'new ones live')
})

t.test('an account that is closed has no sessions; a frozen one may look', async (t) => {
  const { call, open, as, begin } = await openScene(t)
  await open('ada', 10)
  await call('PUT', '/v1/prices/draw', { cost: 2 })
  const token = await begin('ada')
  await call('POST', '/v1/accounts/ada/freeze')
  t.equal((await as(token, 'GET', '/v1/accounts/ada/balance')).status, 200)
  t.match(await as(await begin('ada'), 'POST', '/v1/accounts/ada/charges', { action: 'draw' }), {
    status: 409,
    body: { code: 'account_frozen' },
  })
  await call('DELETE', '/v1/accounts/ada')
  t.equal((await as(token, 'GET', '/v1/accounts/ada/balance')).status, 401)
  t.match(await call('POST', '/v1/sessions', { accountId: 'ada' }), {
    status: 409,
    body: { code: 'account_closed' },
  })
  t.match(await call('POST', '/v1/sessions', { accountId: 'nobody' }), {
    status: 404,
    body: { code: 'account_not_found' },
  })
})

t.test('a token is shown once, also under an idempotency key', async (t) => {
  const { call, open } = await openScene(t)
  await open('ada')
  const begin = () =>
    call('POST', '/v1/sessions', { accountId: 'ada' }, { idempotencyKey: 'login-1' })
  t.equal((await begin()).status, 201)
  t.match(await begin(), { status: 409, body: { code: 'secret_not_replayed' } })
  const guest = () =>
    call('POST', '/v1/sessions/guest', undefined, { key: null, idempotencyKey: 'visit-1' })
  t.equal((await guest()).status, 201)
  t.match(await guest(), { status: 409, body: { code: 'secret_not_replayed' } })
  const elsewhere = await call('POST', '/v1/sessions/guest', undefined, {
    key: null,
    idempotencyKey: 'login-1',
  })
  t.equal(elsewhere.status, 201, 'the keys of others are others')
})

t.test('a token stands in no log and in no table', async (t) => {
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => lines.push(line) })
  const scene = await openScene(t, { log })
  const { call, open, as, begin, guest } = scene
  await open('ada', 10)
  const user = await begin('ada')
  const visitor = await guest()
  await as(user, 'GET', '/v1/accounts/ada/balance')
  await as(user, 'POST', '/v1/accounts/ada/charges', { amount: 3 })
  await as(visitor.token, 'POST', '/v1/sessions/current/convert', { userToken: 'cs_none' })
  await as(visitor.token, 'POST', '/v1/sessions/current/convert', { userToken: user })
  const next = await guest()
  const converted = { guestToken: next.token, accountId: 'ada' }
  t.equal((await call('POST', '/v1/sessions/current/convert', converted)).status, 200)
  await as(user, 'DELETE', '/v1/sessions/current')
  await as(user, 'GET', '/v1/sessions/current')
  // reading the audit log has it written first
  t.equal((await call('GET', '/v1/audit-log')).status, 200)
  const tables = await dumpOf(scene)
  await scene.close()
  t.match(tables, 'session_create', 'the acts are in the audit log')
  t.ok(lines.length > 10, 'it was logged')
  for (const token of [user, visitor.token, next.token]) {
    const secret = token.slice(-43)
    t.notMatch(tables, secret, 'no table')
    t.notMatch(lines.join(''), secret, 'no line')
  }
})

t.test('what is no token of ours is refused', async (t) => {
  const { call, open, begin } = await openScene(t)
  await open('ada')
  const token = await begin('ada')
  for (const wrong of [
    token.slice(0, -1),
    `${token}x`,
    token.replace('cs_', 'CS_'),
    `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`,
    `cs_${'A'.repeat(54)}`,
  ]) {
    const reply = await call('GET', '/v1/sessions/current', undefined, { key: wrong })
    t.equal(reply.status, 401, wrong)
    t.match(reply.body.detail, wrong.startsWith('cs_') ? /^The session / : /^The API key /, wrong)
  }
})
