import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { createConversion } from '../../src/sessions/conversion.js'
import { createGuests } from '../../src/sessions/guests.js'
import { freshDatabase } from '../helpers/database.js'
import { startService } from '../helpers/server.js'
import { openScene, type Scene } from './kit.js'

const CONVERT = '/v1/sessions/current/convert'

/** A guest with credits from its purchases and from a campaign that ends. */
const guestWith = async ({ guest, call }: Scene, credits: number) => {
  const visitor = await guest()
  const grants = `/v1/accounts/${visitor.accountId}/grants`
  if (credits > 0) await call('POST', grants, { amount: credits, source: 'purchased' })
  return visitor
}

const balanceOf = async ({ call }: Scene, accountId: string): Promise<number> =>
  (await call('GET', `/v1/accounts/${accountId}/balance`)).body.balance

const statusOf = async ({ call }: Scene, accountId: string): Promise<string> =>
  (await call('GET', `/v1/accounts/${accountId}`)).body.status

/** Nothing in the books contradicts anything else there. */
const mismatches = async ({ call }: Scene) => (await call('GET', '/v1/reconcile')).body.mismatches

const rowsOf = async ({ core }: Scene, type: string): Promise<number> => {
  const text = 'select count(*)::int as n from transactions where type = $1'
  return (await core.db.pool.query(text, [type])).rows[0].n
}

const OPEN_GUESTS = 'select count(*)::int as n from guest_accounts where check_at is not null'

const guestRows = async ({ core }: Scene): Promise<number> =>
  (await core.db.pool.query(OPEN_GUESTS)).rows[0].n

t.test('a guest becomes a user, who has the credits, each with its source and end', async (t) => {
  const scene = await openScene(t, { environment: { SIGNUP_BONUS: '25' } })
  const { call, open, as, begin } = scene
  await open('ada')
  const visitor = await guestWith(scene, 70)
  t.equal(await balanceOf(scene, visitor.accountId), 70, 'without a bonus for signing up')
  await call('POST', `/v1/accounts/${visitor.accountId}/grants`, {
    amount: 30,
    expiresAt: '2099-01-01T00:00:00Z',
  })
  const userToken = await begin('ada')
  const reply = await as(visitor.token, 'POST', CONVERT, { userToken })
  t.match(reply, { status: 200, body: { accountId: 'ada', guest: false, token: /^cs_/ } })
  t.not(reply.body.token, userToken)
  t.equal((await as(reply.body.token, 'GET', '/v1/accounts/ada/balance')).body.balance, 125)
  t.match((await call('GET', '/v1/accounts/ada/grants')).body.grants, [
    { amount: 70, source: 'purchased', expiresAt: null },
    { amount: 30, expiresAt: '2099-01-01T00:00:00.000Z' },
    { amount: 25 },
  ])
  t.equal((await as(visitor.token, 'GET', '/v1/sessions/current')).status, 401, 'the guest is gone')
  t.equal(await statusOf(scene, visitor.accountId), 'closed')
  t.equal(await guestRows(scene), 0)
  t.equal(
    (await as(userToken, 'GET', '/v1/accounts/ada/balance')).status,
    200,
    'the proof lives on',
  )
  t.same(await mismatches(scene), [])
})

t.test('a back end that knows the guest and the user converts with its key', async (t) => {
  const scene = await openScene(t)
  const { call, open } = scene
  await open('ada')
  const visitor = await guestWith(scene, 40)
  const { key } = (await call('POST', '/v1/api-keys', { name: 's', scopes: ['sessions:write'] }))
    .body
  const body = { guestToken: visitor.token, accountId: 'ada' }
  const options = { key, idempotencyKey: 'signup-1' }
  t.match(await call('POST', CONVERT, body, options), { status: 200, body: { accountId: 'ada' } })
  t.match(await call('POST', CONVERT, body, options), {
    status: 409,
    body: { code: 'secret_not_replayed' },
  })
  t.match(await call('POST', CONVERT, body, { key }), {
    status: 404,
    body: { code: 'session_not_found' },
  })
  t.equal(await balanceOf(scene, 'ada'), 40)
  const { entries } = (await call('GET', '/v1/audit-log?limit=20')).body
  t.ok(entries.some(({ action }: { action: string }) => action === 'guest_convert'))
})

t.test('nobody gets at an account that is not theirs', async (t) => {
  const scene = await openScene(t)
  const { call, open, as, begin } = scene
  await open('ada', 5)
  await open('zoe')
  const user = await begin('ada')
  const visitor = await guestWith(scene, 10)
  const another = await guestWith(scene, 10)
  const convert = async (token: string, body: object) =>
    (await as(token, 'POST', CONVERT, body)).body.code ?? 'converted'
  t.equal(
    await convert(visitor.token, { accountId: 'ada' }),
    'invalid_request',
    'a name is no proof',
  )
  t.equal(await convert(visitor.token, {}), 'invalid_request')
  t.equal(await convert(visitor.token, { userToken: 'cs_x' }), 'session_not_found')
  t.equal(await convert(visitor.token, { userToken: another.token }), 'invalid_request')
  t.equal(await convert(visitor.token, { userToken: visitor.token }), 'invalid_request')
  t.equal(
    await convert(visitor.token, { guestToken: another.token, accountId: 'ada' }),
    'invalid_request',
    'another guest is not for it to convert',
  )
  t.equal(await convert(user, { userToken: user }), 'forbidden', 'a user is no guest')
  const byKey = async (body: object) => (await call('POST', CONVERT, body)).body.code
  t.equal(await byKey({ userToken: user }), 'invalid_request')
  t.equal(await byKey({ guestToken: user, accountId: 'zoe' }), 'invalid_request')
  t.equal(await byKey({ guestToken: visitor.token, accountId: 'nobody' }), 'account_not_found')
  t.equal(await byKey({ guestToken: visitor.token, accountId: another.accountId }), 'forbidden')
  await call('DELETE', '/v1/accounts/zoe')
  t.equal(await byKey({ guestToken: visitor.token, accountId: 'zoe' }), 'account_closed')
  await call('POST', `/v1/accounts/${visitor.accountId}/freeze`)
  t.equal(await byKey({ guestToken: visitor.token, accountId: 'ada' }), 'account_frozen')
  t.equal(await balanceOf(scene, 'ada'), 5)
  t.equal(await balanceOf(scene, visitor.accountId), 10, 'and nothing has moved')
  t.equal((await as(visitor.token, 'GET', '/v1/sessions/current')).status, 200)
})

t.test('a guest without credits becomes a user all the same', async (t) => {
  const scene = await openScene(t)
  await scene.open('ada', 5)
  const visitor = await scene.guest()
  const reply = await scene.as(visitor.token, 'POST', CONVERT, {
    userToken: await scene.begin('ada'),
  })
  t.equal(reply.status, 200)
  t.equal(await balanceOf(scene, 'ada'), 5)
  t.equal(await statusOf(scene, visitor.accountId), 'closed')
})

t.test('the credits move once, however often and to whomever it is asked at once', async (t) => {
  const scene = await openScene(t)
  const { open, as, begin } = scene
  await open('ada')
  await open('bob')
  for (let round = 1; round <= 5; round += 1) {
    const visitor = await guestWith(scene, 10)
    const proofs = [await begin('ada'), await begin('bob')]
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        as(visitor.token, 'POST', CONVERT, { userToken: proofs[i % 2] }),
      ),
    )
    const winners = replies.filter(({ status }) => status === 200)
    t.ok(winners.length > 0, `${winners.length} of 20`)
    t.equal(new Set(winners.map(({ body }) => body.accountId)).size, 1, 'one user')
    for (const { status, body } of replies) {
      if (status !== 200) t.match(body.code, /^(already_converted|unauthenticated)$/)
    }
    t.equal((await balanceOf(scene, 'ada')) + (await balanceOf(scene, 'bob')), round * 10)
    t.equal(await rowsOf(scene, 'transfer_out'), round)
    t.equal(await rowsOf(scene, 'transfer_in'), round)
  }
  t.equal(await guestRows(scene), 0)
  t.same(await mismatches(scene), [])
})

t.test('what is spent and granted while it converts is counted once', async (t) => {
  const scene = await openScene(t)
  const { call, open, as, begin } = scene
  await open('ada')
  const visitor = await guestWith(scene, 1_000)
  const userToken = await begin('ada')
  const writes = Array.from({ length: 60 }, (_, i) => {
    const path = `/v1/accounts/${visitor.accountId}/${i % 2 ? 'charges' : 'grants'}`
    return call('POST', path, { amount: 7 })
  })
  const converted = await as(visitor.token, 'POST', CONVERT, { userToken })
  t.equal(converted.status, 200)
  let expected = 1_000
  for (const { status, body } of await Promise.all(writes)) {
    if (status === 201) expected += body.amount
    else t.match(body.code, /^(account_closed|insufficient_credits)$/)
  }
  scene.clock.aheadMs += 3_600_000
  await scene.runJob('sessions.guests')
  t.equal(await balanceOf(scene, 'ada'), expected)
  t.same(await mismatches(scene), [])
})

t.test('what is granted in the last instant before the closing follows too', async (t) => {
  const scene = await openScene(t)
  const { call, open, core, clock } = scene
  await open('ada')
  const visitor = await guestWith(scene, 10)
  const now = () => Date.now() + clock.aheadMs
  let isLate = true
  const sessions = {
    // asked after the last look at the account and before it is closed
    async revokeAll(accountId: string) {
      if (isLate) await call('POST', `/v1/accounts/${accountId}/grants`, { amount: 7 })
      isLate = false
      return 0
    },
  }
  const guests = createGuests({ orm: core.db.orm, now })
  const { convert } = createConversion({ ...core, guests, sessions, now })
  await convert({ actor: 'key:test', requestId: 'late' }, visitor.accountId, 'ada')
  t.equal(await statusOf(scene, visitor.accountId), 'active', 'it is not closed over credits')
  clock.aheadMs += 3_600_000
  await scene.runJob('sessions.guests')
  t.equal(await balanceOf(scene, 'ada'), 17)
  t.equal(await statusOf(scene, visitor.accountId), 'closed')
  t.equal(await guestRows(scene), 0)
  t.same(await mismatches(scene), [])
})

t.test('what a hold has reserved follows when the hold is settled', async (t) => {
  const scene = await openScene(t)
  const { call, open, as, begin, clock, runJob } = scene
  await open('ada')
  const visitor = await guestWith(scene, 100)
  const holds = `/v1/accounts/${visitor.accountId}/holds`
  const { holdId } = (await call('POST', holds, { amount: 60, ttlSeconds: 3_600 })).body
  const reply = await as(visitor.token, 'POST', CONVERT, { userToken: await begin('ada') })
  t.equal(reply.status, 200)
  t.equal(await balanceOf(scene, 'ada'), 40)
  t.equal((await as(visitor.token, 'GET', '/v1/sessions/current')).status, 401)
  t.match(await call('POST', '/v1/sessions', { accountId: visitor.accountId }), {
    status: 409,
    body: { code: 'already_converted', detail: /has become a user/ },
  })
  clock.aheadMs += 10 * 60_000
  await runJob('sessions.guests')
  t.equal(await statusOf(scene, visitor.accountId), 'active', 'the job it waits for can be charged')
  t.equal((await call('POST', `${holds}/${holdId}/capture`, { amount: 50 })).status, 200)
  clock.aheadMs += 10 * 60_000
  t.match(await runJob('sessions.guests'), '1 accounts')
  t.equal(await balanceOf(scene, 'ada'), 50)
  t.equal(await statusOf(scene, visitor.accountId), 'closed')
  t.same(await mismatches(scene), [])
})

t.test('who lost the reply of a conversion is told that it was done', async (t) => {
  const scene = await openScene(t)
  const { call, open, as, begin } = scene
  await open('ada')
  const first = await guestWith(scene, 10)
  const userToken = await begin('ada')
  t.equal((await as(first.token, 'POST', CONVERT, { userToken })).status, 200)
  t.equal((await as(first.token, 'POST', CONVERT, { userToken })).status, 401, 'the guest is gone')
  t.equal((await as(userToken, 'GET', '/v1/sessions/current')).status, 200, 'the user is not')
  const second = await guestWith(scene, 10)
  const body = { guestToken: second.token, accountId: 'ada' }
  const idempotencyKey = 'convert-1'
  t.equal((await call('POST', CONVERT, body, { idempotencyKey })).status, 200)
  const again = await call('POST', CONVERT, body, { idempotencyKey })
  t.match(again, { status: 409, body: { code: 'secret_not_replayed' } })
  t.match(await call('POST', CONVERT, body), { status: 404, body: { code: 'session_not_found' } })
  t.equal((await call('POST', '/v1/sessions', { accountId: 'ada' })).status, 201)
  t.equal(await balanceOf(scene, 'ada'), 20)
})

t.test('a process that dies between debit and credit loses nothing', async (t) => {
  const { url } = await freshDatabase(t)
  const service = await startService(t, { DATABASE_URL: url })
  const post = async (path: string, body: object = {}) =>
    (await (await service.call('POST', path, body)).json()) as { token: string; accountId: string }
  await service.call('PUT', '/v1/accounts/ada', {})
  const visitor = await post('/v1/sessions/guest')
  await post(`/v1/accounts/${visitor.accountId}/grants`, { amount: 90 })
  // somebody holds the row of the user, so that the credit can not be written
  const outside = new pg.Client({ connectionString: url })
  await outside.connect()
  t.teardown(() => outside.end())
  await outside.query(`begin; select 1 from accounts where id = 'ada' for update`)
  const converting = post(CONVERT, { guestToken: visitor.token, accountId: 'ada' }).catch(
    () => null,
  )
  const countOf = async (text: string) => (await outside.query(text)).rows[0].n
  const debits = `select count(*)::int as n from transactions where type = 'transfer_out'`
  const deadlineMs = performance.now() + 20_000
  while ((await countOf(debits)) === 0) {
    if (performance.now() > deadlineMs) throw new Error('there was no debit')
    await sleep(10)
  }
  await service.kill9()
  t.equal(await converting, null, 'nobody was answered')
  t.equal(await countOf(`select balance::int as n from accounts where id = 'ada'`), 0)
  t.equal(await countOf('select count(*)::int as n from pending_work'), 1)
  await outside.query('rollback')

  const scene = await openScene(t, { url })
  await scene.core.upkeep.finishPending()
  t.equal(await balanceOf(scene, 'ada'), 90, 'the pending work was finished')
  t.equal(await statusOf(scene, visitor.accountId), 'active', 'and the rest is the job’s')
  scene.clock.aheadMs += 61_000
  t.match(await scene.runJob('sessions.guests'), '1 accounts')
  t.equal(await statusOf(scene, visitor.accountId), 'closed')
  t.equal(await balanceOf(scene, 'ada'), 90)
  t.equal(await rowsOf(scene, 'transfer_out'), 1)
  t.equal(await rowsOf(scene, 'transfer_in'), 1)
  t.equal(await guestRows(scene), 0)
  t.same(await mismatches(scene), [])
})
