import t from 'tap'
import { migrateDown, migrateUp } from '../../src/db/migrate.js'
import { createConversion } from '../../src/sessions/conversion.js'
import { createGuests, type Guests } from '../../src/sessions/guests.js'
import { openScene, type Scene } from './kit.js'

const CONVERT = '/v1/sessions/current/convert'
const CALLER = { actor: 'key:test', requestId: 'mapping' } as const

const guestsOf = ({ core, clock }: Scene): Guests =>
  createGuests({ orm: core.db.orm, now: () => core.now() + clock.aheadMs })

/** How many accounts of guests there still are for the job to look at. */
const openGuests = async ({ core }: Scene): Promise<number> => {
  const text = 'select count(*)::int as n from guest_accounts where check_at is not null'
  return (await core.db.pool.query(text)).rows[0].n
}

const statusOf = async ({ call }: Scene, accountId: string): Promise<string> =>
  (await call('GET', `/v1/accounts/${accountId}`)).body.status

t.test('a guest is known as the user it became, for good', async (t) => {
  const scene = await openScene(t)
  const { call, open, guest, as, begin, clock, runJob } = scene
  const { payeeOf } = guestsOf(scene)
  await open('ada')
  const visitor = await guest()
  const other = await guest()
  for (const id of ['ada', 'nobody', visitor.accountId]) t.equal(await payeeOf(id), id)
  await call('POST', `/v1/accounts/${visitor.accountId}/grants`, { amount: 30 })
  const converted = await as(visitor.token, 'POST', CONVERT, { userToken: await begin('ada') })
  t.equal(converted.status, 200)
  t.equal(await statusOf(scene, visitor.accountId), 'closed')
  t.equal(await payeeOf(visitor.accountId), 'ada')
  t.equal(await openGuests(scene), 1, 'it is no work for the job any more')
  clock.aheadMs = 30 * 24 * 3_600_000
  await runJob('sessions.guests')
  t.equal(await openGuests(scene), 0)
  t.equal(await payeeOf(visitor.accountId), 'ada', 'a month later')
  t.equal(await payeeOf(other.accountId), other.accountId, 'one who left became nobody')
  const { rows } = await scene.core.db.pool.query('select account_id from guest_accounts')
  t.same(rows, [{ account_id: visitor.accountId }], 'and is forgotten')
})

t.test('who dies in the middle of a conversion has said who becomes whom', async (t) => {
  const scene = await openScene(t)
  const { call, open, guest, core, clock, runJob } = scene
  await open('ada')
  const visitor = await guest()
  const { accountId } = visitor
  await call('POST', `/v1/accounts/${accountId}/grants`, { amount: 30 })
  const guests = guestsOf(scene)
  const now = () => core.now() + clock.aheadMs
  const sessions = { revokeAll: async () => 0 }
  const died = new Error('the process has died')
  for (const kind of ['transfer_out', 'close'] as const) {
    const ledger: typeof core.ledger = {
      ...core.ledger,
      async submit(operation) {
        if (operation.kind === kind) throw died
        return core.ledger.submit(operation)
      },
    }
    const { convert } = createConversion({ ledger, upkeep: core.upkeep, guests, sessions, now })
    await t.rejects(convert(CALLER, accountId, 'ada'), died, kind)
    t.equal(await guests.payeeOf(accountId), 'ada', `before the ${kind}`)
    t.equal(await statusOf(scene, accountId), 'active')
  }
  // dies between the closing and the word that it is done
  const late = { ...guests, finish: async () => Promise.reject(died) }
  const whole = createConversion({ ...core, guests: late, sessions, now })
  await t.rejects(whole.convert(CALLER, accountId, 'ada'), died)
  t.equal(await statusOf(scene, accountId), 'closed')
  t.equal(await openGuests(scene), 1)
  clock.aheadMs += 3_600_000
  t.match(await runJob('sessions.guests'), '1 accounts', 'the job goes on')
  t.equal(await openGuests(scene), 0)
  t.equal(await guests.payeeOf(accountId), 'ada')
  t.equal((await call('GET', '/v1/accounts/ada/balance')).body.balance, 30)
})

t.test('a guest who becomes a user while the job closes its account is not lost', async (t) => {
  const scene = await openScene(t)
  const { open, guest, core } = scene
  await open('ada')
  const { accountId } = await guest()
  const guests = guestsOf(scene)
  const ledger: typeof core.ledger = {
    ...core.ledger,
    async submit(operation) {
      const outcome = await core.ledger.submit(operation)
      if (operation.kind === 'close') t.ok(await guests.convert(accountId, 'ada', core.now()))
      return outcome
    },
  }
  const sessions = { revokeAll: async () => 0 }
  const { close } = createConversion({ ...core, ledger, guests, sessions, now: core.now })
  t.equal(await close(CALLER, accountId), true)
  t.equal(await guests.payeeOf(accountId), 'ada')
  t.equal(await openGuests(scene), 0)
})

t.test('a chain is followed to its end, and a circle ends', async (t) => {
  const scene = await openScene(t)
  const link = (from: string, to: string) =>
    scene.core.db.pool.query(`insert into guest_accounts values ($1, now(), null, $2)`, [from, to])
  await link('g1', 'g2')
  await link('g2', 'g3')
  await link('g3', 'ada')
  await link('c1', 'c2')
  await link('c2', 'c1')
  const { payeeOf } = guestsOf(scene)
  t.equal(await payeeOf('g1'), 'ada')
  t.equal(await payeeOf('g3'), 'ada')
  t.match(await payeeOf('c1'), /^c[12]$/)
})

t.test('the job finds what is due, without reading those who are done', async (t) => {
  const scene = await openScene(t)
  const { pool } = scene.core.db
  await pool.query(
    `insert into guest_accounts
     select 'guest_' || n, now(), null, 'user-' || n from generate_series(1, 20000) n`,
  )
  await pool.query('analyze guest_accounts')
  const planOf = async (text: string) => {
    const { rows } = await pool.query<{ 'QUERY PLAN': string }>(`explain ${text}`)
    return rows.map((row) => row['QUERY PLAN']).join('\n')
  }
  const due = `select account_id from guest_accounts where check_at <= now()
                order by check_at limit 50`
  t.match(await planOf(due), /Index Scan using guest_accounts_check/)
  const size = `select pg_relation_size('guest_accounts_check')::int as n`
  t.ok((await pool.query(size)).rows[0].n <= 8_192, 'those who are done are not in it')
  t.equal(await guestsOf(scene).payeeOf('guest_777'), 'user-777')
})

t.test('who became whom outlives the way back to an older version', async (t) => {
  const scene = await openScene(t)
  const { db } = scene.core
  await db.pool.query(`insert into guest_accounts values
    ('guest_done', now(), null, 'ada'), ('guest_open', now(), now() + interval '1 day', null)`)
  const taken: string[] = []
  while (!taken.includes('0029_guest_mapping')) {
    taken.push(...(await migrateDown(db, { steps: 1 })))
  }
  const { rows } = await db.pool.query(
    'select account_id from guest_accounts where check_at <= $1',
    [new Date('9999-01-01')],
  )
  t.same(rows, [{ account_id: 'guest_open' }], 'to the older one it is no work either')
  t.equal((await migrateUp(db)).length, taken.length)
  t.equal(await openGuests(scene), 1)
  t.equal(await guestsOf(scene).payeeOf('guest_done'), 'ada')
})

t.test('what a guest has begun to buy is the user’s, however late it is paid', async (t) => {
  const scene = await openScene(t, { environment: { ENABLE_CREDIT_PURCHASES: 'true' } })
  const { call, open, guest, as, begin, clock, runJob } = scene
  await open('ada')
  const visitor = await guest()
  const bought = await as(visitor.token, 'POST', '/v1/purchases', { packageId: 'pkg_starter' })
  t.match(bought, { status: 201, body: { accountId: visitor.accountId, status: 'pending' } })
  const converted = await as(visitor.token, 'POST', CONVERT, { userToken: await begin('ada') })
  t.equal(converted.status, 200)
  clock.aheadMs = 3_600_000
  await runJob('sessions.guests')
  t.equal(await statusOf(scene, visitor.accountId), 'closed')
  const confirm = `/v1/purchases/${bought.body.purchaseId}/confirm`
  for (let i = 0; i < 2; i += 1) {
    t.equal((await call('POST', confirm, { paymentIntentId: 'bank-7' })).status, 200)
  }
  t.equal((await call('GET', '/v1/accounts/ada/balance')).body.balance, 100, 'once')
  t.same((await call('GET', '/v1/reconcile')).body.mismatches, [])
})
