import t from 'tap'
import { emptyDatabase } from '../helpers/database.js'
import { startService, TEST_KEY } from '../helpers/server.js'
import { compiledService } from './kit-build.js'
import { groundOf, openPair } from './kit-ground.js'
import { TIMEOUT_MS } from './kit-scene.js'
import { runCases } from './kit-suite.js'
import { inputCases } from './suite-input.js'
import { moneyCases } from './suite-money.js'
import { onceCases } from './suite-once.js'
import { timeCases } from './suite-time.js'

t.setTimeout(TIMEOUT_MS)

t.test('two processes on one PostgreSQL database', { timeout: TIMEOUT_MS }, async (t) => {
  const ground = await openPair(t)
  await runCases(t, ground, [...moneyCases, ...onceCases, ...timeCases, ...inputCases])
})

t.test('two environments in schemas of one database never see each other', async (t) => {
  const { url } = await emptyDatabase(t)
  const program = await compiledService()
  const [dev, live] = await Promise.all(
    ['dev', 'live'].map(async (schema) => {
      const env = { DATABASE_URL: url, DATABASE_SCHEMA: schema }
      return groundOf(t, [await startService(t, env, program)], TEST_KEY, url)
    }),
  )
  if (!dev || !live) throw new Error('two were started')
  await dev.open('ada', 100)
  t.equal((await live.call('GET', '/v1/accounts/ada')).status, 404, 'not there')
  await live.open('ada', 30)
  const charge = { amount: 10 }
  const options = { idempotencyKey: 'same' }
  for (const ground of [dev, live]) {
    const charged = await ground.call('POST', '/v1/accounts/ada/charges', charge, options)
    t.equal(charged.status, 201)
    t.equal(charged.headers['idempotent-replayed'], undefined, 'keys are their own')
  }
  t.same([await dev.balanceOf('ada'), await live.balanceOf('ada')], [90, 20])
  await dev.call('PUT', '/v1/prices/image', { cost: 3 })
  t.equal((await live.call('GET', '/v1/prices/image')).status, 404)
  const made = await dev.call('POST', '/v1/api-keys', { name: 'dev', scopes: ['admin'] })
  const withKey = { key: made.body.key }
  t.equal((await dev.call('GET', '/v1/accounts/ada', undefined, withKey)).status, 200)
  t.equal((await live.call('GET', '/v1/accounts/ada', undefined, withKey)).status, 401)
  const { transactions } = (await live.call('GET', '/v1/accounts/ada/transactions')).body
  t.equal(transactions.length, 2)
  const tables = await dev.sql<{ schemas: string }>(
    `select string_agg(distinct table_schema, ' ' order by table_schema) as schemas
       from information_schema.tables
      where table_schema not in ('pg_catalog', 'information_schema')`,
  )
  t.same(tables, [{ schemas: 'dev live' }], 'nothing of ours is anywhere else')
  for (const schema of ['dev', 'live']) {
    const [row] = await dev.sql<{ sum: string }>(`select sum(balance) from ${schema}.accounts`)
    t.equal(Number(row?.sum), schema === 'dev' ? 90 : 20)
  }
  for (const ground of [dev, live]) {
    t.same((await ground.call('GET', '/v1/reconcile')).body, { accounts: 1, mismatches: [] })
  }
})
