import t from 'tap'
import { openScene, type Scene } from './kit.js'

const HOUR_MS = 3_600_000

const rowsOf = async ({ core }: Scene): Promise<string[]> => {
  const { rows } = await core.db.pool.query('select account_id from guest_accounts order by 1')
  return rows.map(({ account_id }) => account_id)
}

const statusOf = async ({ call }: Scene, accountId: string): Promise<string> =>
  (await call('GET', `/v1/accounts/${accountId}`)).body.status

t.test(
  'accounts of guests who left with nothing are closed, and those with credits stay',
  async (t) => {
    const scene = await openScene(t)
    const { call, guest, clock, runJob } = scene
    const guests = await Promise.all(Array.from({ length: 120 }, guest))
    const rich = guests[0]?.accountId ?? ''
    const closed = guests[1]?.accountId ?? ''
    await call('POST', `/v1/accounts/${rich}/grants`, { amount: 5 })
    await call('DELETE', `/v1/accounts/${closed}`)
    t.match(await runJob('sessions.guests'), '0 accounts', 'their sessions may still live')
    t.equal((await rowsOf(scene)).length, 120)
    clock.aheadMs = 24 * HOUR_MS + 60_000
    t.match(await runJob('sessions.guests'), '119 accounts', 'more than a page of them')
    t.same(await rowsOf(scene), [rich])
    for (const { accountId } of guests.slice(1, 10)) {
      t.equal(await statusOf(scene, accountId), 'closed')
    }
    t.equal(await statusOf(scene, rich), 'active')
    t.match(await runJob('sessions.guests'), '0 accounts', 'not asked again at once')

    await call('POST', `/v1/accounts/${rich}/charges`, { amount: 5 })
    clock.aheadMs += 25 * HOUR_MS
    t.match(await runJob('sessions.guests'), '1 accounts')
    t.equal(await statusOf(scene, rich), 'closed')
    t.same((await call('GET', '/v1/reconcile')).body.mismatches, [])
  },
)

t.test('a back end can bring a guest back, and the account stays while it can last', async (t) => {
  const scene = await openScene(t)
  const { call, guest, clock, runJob, as } = scene
  const { accountId } = await guest()
  clock.aheadMs = 20 * HOUR_MS
  const again = await call('POST', '/v1/sessions', { accountId })
  t.match(again, { status: 201, body: { guest: true } })
  clock.aheadMs = 20 * HOUR_MS + 60_000
  t.equal((await as(again.body.token, 'GET', '/v1/sessions/current')).status, 200)
  clock.aheadMs = 25 * HOUR_MS
  t.match(await runJob('sessions.guests'), '0 accounts')
  t.equal(await statusOf(scene, accountId), 'active')
  clock.aheadMs = 45 * HOUR_MS
  t.match(await runJob('sessions.guests'), '1 accounts')
})

t.test('a guest whose account was never opened is forgotten', async (t) => {
  const scene = await openScene(t)
  await scene.core.db.pool.query(
    `insert into guest_accounts values ('guest_lost', now(), now() - interval '1 minute', null)`,
  )
  t.match(await scene.runJob('sessions.guests'), '1 accounts')
  t.same(await rowsOf(scene), [])
})

t.test('one account that can not be dealt with keeps no other waiting', async (t) => {
  const scene = await openScene(t)
  const { guest, clock, runJob, open, core } = scene
  await open('ada')
  const [stuck, free] = [await guest(), await guest()]
  await scene.call('POST', `/v1/accounts/${stuck.accountId}/grants`, { amount: 5 })
  await scene.call('POST', `/v1/accounts/${stuck.accountId}/freeze`)
  await core.db.pool.query('update guest_accounts set converted_to = $1 where account_id = $2', [
    'ada',
    stuck.accountId,
  ])
  clock.aheadMs = 25 * HOUR_MS
  t.match(await runJob('sessions.guests'), '1 accounts')
  t.equal(await statusOf(scene, free.accountId), 'closed')
  t.same(await rowsOf(scene), [stuck.accountId])
  await scene.call('POST', `/v1/accounts/${stuck.accountId}/unfreeze`)
  clock.aheadMs += HOUR_MS
  t.match(await runJob('sessions.guests'), '1 accounts', 'tried again later')
  t.equal((await scene.call('GET', '/v1/accounts/ada/balance')).body.balance, 5)
})

t.test(
  'a refused call for a guest counts, and so does a conversion that is repeated',
  async (t) => {
    const scene = await openScene(t, { environment: { RATE_LIMIT_AUTH: '3/15m' } })
    const { call, open, as, guest } = scene
    await open('ada')
    const visitor = await guest()
    const body = { guestToken: visitor.token, accountId: 'ada' }
    t.equal((await call('POST', '/v1/sessions/current/convert', body)).status, 200)
    const again = () => as(visitor.token, 'POST', '/v1/sessions/current/convert', {})
    t.equal((await again()).status, 401)
    const refused = () => call('POST', '/v1/sessions/guest', { more: 1 }, { key: null })
    t.equal((await refused()).status, 400)
    t.match(await refused(), { status: 429, body: { policy: 'auth' } })
    t.match(await again(), { status: 429, body: { policy: 'auth' } })
    t.equal((await as('cs_none', 'GET', '/v1/sessions/current')).status, 429)
    const dead = await call('POST', '/v1/sessions/current/convert', body)
    t.match(dead, { status: 404, body: { code: 'session_not_found' } }, 'no failed credential')
  },
)
