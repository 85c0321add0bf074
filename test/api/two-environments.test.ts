import t from 'tap'
import { openApp } from '../helpers/app.js'
import { emptyDatabase } from '../helpers/database.js'
import { startRedis } from '../helpers/redis.js'

t.test('two environments on one database and one Redis see nothing of each other', async (t) => {
  const { url } = await emptyDatabase(t)
  const redis = await startRedis(t)
  const openAs = (name: string) =>
    openApp(t, {
      url,
      environment: {
        ...{ DATABASE_SCHEMA: name, KEY_PREFIX: `${name}:`, REDIS_URL: redis.url },
        RATE_LIMIT_API: '2/1m',
      },
    })
  const [one, two] = [await openAs('env_one'), await openAs('env_two')]

  await one.open('ann', 100)
  t.equal((await two.call('GET', '/v1/accounts/ann')).status, 404)
  await two.open('ann', 7)
  await one.call('POST', '/v1/accounts/ann/charges', { amount: 30 }, { idempotencyKey: 'k' })
  const elsewhere = { idempotencyKey: 'k' }
  const charged = await two.call('POST', '/v1/accounts/ann/charges', { amount: 5 }, elsewhere)
  t.equal(charged.status, 201, 'a key used there is free here')
  t.equal((await one.call('GET', '/v1/accounts/ann/balance')).body.balance, 70)
  t.equal((await two.call('GET', '/v1/accounts/ann/balance')).body.balance, 2)

  await one.call('PUT', '/v1/prices/chat', { amount: 3 })
  t.equal((await two.call('GET', '/v1/prices/chat')).status, 404)
  const made = await one.call('POST', '/v1/api-keys', { name: 'k', scopes: ['admin'] })
  const { key, id } = made.body
  t.equal((await two.call('GET', '/v1/accounts/ann', undefined, { key })).status, 401)
  t.notOk(
    (await two.call('GET', '/v1/api-keys')).body.keys?.some((k: { id: string }) => k.id === id),
  )

  const begun = await one.call('POST', '/v1/sessions', { accountId: 'ann' })
  const { token } = begun.body
  const current = (app: typeof one) =>
    app.call('GET', '/v1/sessions/current', undefined, { key: token })
  t.equal((await current(one)).status, 200)
  t.equal((await current(two)).status, 401)
  t.equal((await two.call('DELETE', '/v1/accounts/ann/sessions')).body.revoked, 0)
  t.equal((await current(one)).status, 200, 'and ending all there ends none here')

  const take = (app: typeof one) =>
    app.call('POST', '/v1/rate-limits/api/check', { identity: 'ann' })
  for (const app of [one, two]) {
    const allowed = [await take(app), await take(app), await take(app)].map((r) => r.body.allowed)
    t.same(allowed, [true, true, false])
  }
  for (const app of [one, two]) {
    t.same((await app.call('GET', '/v1/reconcile')).body, { accounts: 1, mismatches: [] })
  }
})
