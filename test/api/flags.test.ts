import t from 'tap'
import { digestOf, newKey } from '../../src/ledger/ids.js'
import { openApp, type TestApp } from '../helpers/app.js'
import type { TestContext } from '../helpers/database.js'

/** Every way to run the credit system, and its way back. */
const MODES: readonly (readonly [name: string, environment: Record<string, string>])[] = [
  ['v1', { ENABLE_CREDIT_PURCHASES: 'true' }],
  ['v2', { CREDIT_SYSTEM_VERSION: 'v2', ENABLE_CREDIT_PURCHASES: 'true' }],
  ['rollback', { CREDIT_SYSTEM_VERSION: 'v2', ROLLBACK_MODE: 'true' }],
  ['v2 again', { CREDIT_SYSTEM_VERSION: 'v2' }],
  ['v1 again', {}],
]

/** What a service writes of itself by being there, and what it tells apart from before. */
const OWN_TABLES = ['job_runs']

/** Every row of every table, but for those a service writes of itself. */
const rowsOf = async ({ core }: TestApp): Promise<Record<string, readonly string[]>> => {
  const { pool } = core.db
  const { rows: tables } = await pool.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public' order by 1`,
  )
  const found: Record<string, readonly string[]> = {}
  for (const { name } of tables.filter((table) => !OWN_TABLES.includes(table.name))) {
    const { rows } = await pool.query<{ row: string }>(
      `select t::text as row from "${name}" t order by 1`,
    )
    found[name] = rows.map(({ row }) => row)
  }
  return found
}

const PARTS = ['', '/balance', '/grants', '/holds', '/transactions', '/purchases']

/** All that the API tells of the accounts. */
const toldOf = async ({ call }: TestApp, accounts: readonly string[]): Promise<unknown> => {
  const told: unknown[] = []
  for (const id of accounts) {
    for (const part of PARTS) {
      const { status, body } = await call('GET', `/v1/accounts/${id}${part}`)
      if (status !== 200) throw new Error(`${id}${part}: ${status}`)
      told.push(body)
    }
  }
  return told
}

const openIn = (t: TestContext, url: string | null, environment: Record<string, string>) =>
  openApp(t, { environment, ...(url !== null && { url }) })

const balanceOf = async ({ call }: TestApp, id: string) =>
  (await call('GET', `/v1/accounts/${id}/balance`)).body

const must = async ({ call }: TestApp, method: string, path: string, body: object) => {
  const reply = await call(method, path, body)
  if (reply.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(reply.body)}`)
  return reply.body
}

/** What a service does by itself. */
const runJobs = async ({ core, runJob }: TestApp): Promise<void> => {
  await core.upkeep.sweep()
  await core.upkeep.finishPending()
  await runJob('sessions.guests')
}

const ACCOUNTS = ['ada', 'bob', 'zoe', 'eve', 'pia']

/** What is to be gone on with in another mode. */
type Begun = {
  readonly holdId: string
  readonly transactionId: string
  /** Neither paid nor given up. */
  readonly pendingId: string
}

/** Lots of every source, some spent, held, returned or gone; debt; a tier; a closed account. */
const populate = async (service: TestApp): Promise<Begun> => {
  for (const id of ACCOUNTS) await service.open(id)
  const grant = (id: string, amount: number, source: string, more = {}) =>
    must(service, 'POST', `/v1/accounts/${id}/grants`, { amount, source, ...more })
  await grant('ada', 300, 'monthly', { expiresAt: '2099-01-31T00:00:00Z' })
  await grant('ada', 50, 'bonus')
  await grant('ada', 500, 'purchased')
  const charges = '/v1/accounts/ada/charges'
  const { transactionId } = await must(service, 'POST', charges, { amount: 320 })
  await must(service, 'POST', '/v1/accounts/ada/refunds', { transactionId, amount: 15 })
  const held = { amount: 40, ttlSeconds: 86_400 }
  const { holdId } = await must(service, 'POST', '/v1/accounts/ada/holds', held)
  await must(service, 'PUT', '/v1/accounts/ada/membership', { tier: 'pro' })
  await indebt(service, 'bob')
  const purchase = { accountId: 'zoe', packageId: 'pkg_popular' }
  const paid = await must(service, 'POST', '/v1/purchases', purchase)
  const confirm = `/v1/purchases/${paid.purchaseId}/confirm`
  await must(service, 'POST', confirm, { paymentIntentId: 'bank-1' })
  await must(service, 'POST', `/v1/purchases/${paid.purchaseId}/refund`, { amount: 500 })
  const pending = await must(service, 'POST', '/v1/purchases', purchase)
  await must(service, 'PUT', '/v1/accounts/pia/subscription', { planId: 'pro' })
  await grant('eve', 9, 'bonus')
  await must(service, 'DELETE', '/v1/accounts/eve', {})
  return { holdId, transactionId, pendingId: pending.purchaseId }
}

/** A purchase that was spent in part before it was paid back: 70 credits of debt. */
const indebt = async (service: TestApp, accountId: string): Promise<void> => {
  const path = `/v1/accounts/${accountId}`
  const bought = { amount: 100, source: 'purchased' }
  const { seq } = await must(service, 'POST', `${path}/grants`, bought)
  await must(service, 'POST', `${path}/charges`, { amount: 70 })
  await service.core.ledger.submit({
    ...{ accountId, key: newKey(), digest: digestOf('back'), actor: 'system', requestId: null },
    ...{ kind: 'claw_back', grantSeq: seq, target: 100, reason: null, detail: {}, metadata: null },
  })
}

t.test('a flag that is changed and changed back touches no credit, lot or row', async (t) => {
  const first = await openIn(t, null, { ENABLE_CREDIT_PURCHASES: 'true' })
  const { url } = first
  await populate(first)
  // what it was about to write of itself is written
  await first.close()
  const before = await openIn(t, url, {})
  const [rows, told] = [await rowsOf(before), await toldOf(before, ACCOUNTS)]
  t.match(await balanceOf(before, 'bob'), { balance: 0, debt: 70 })
  t.match(await balanceOf(before, 'ada'), {
    ...{ balance: 545, available: 505, held: 40, debt: 0 },
    buckets: { monthly: 0, bonus: 45, purchased: 500 },
  })
  t.ok((rows.transactions ?? []).length > 8 && (rows.grants ?? []).length >= 5)
  await before.close()
  for (const [name, environment] of MODES) {
    const service = await openIn(t, url, environment)
    t.same(await toldOf(service, ACCOUNTS), told, `${name}: what is told`)
    await runJobs(service)
    t.same(await rowsOf(service), rows, `${name}: every row`)
    t.same((await service.call('GET', '/v1/reconcile')).body.mismatches, [], name)
    await service.close()
  }
})

t.test('what was begun in one mode goes on in the others, to the unit', async (t) => {
  const first = await openIn(t, null, { ENABLE_CREDIT_PURCHASES: 'true' })
  const { url } = first
  const { holdId, transactionId, pendingId } = await populate(first)
  await first.close()
  let balance = 545
  for (const [name, environment] of MODES) {
    const service = await openIn(t, url, environment)
    t.equal((await balanceOf(service, 'ada')).balance, balance, `${name}: as it was left`)
    await must(service, 'POST', '/v1/accounts/ada/charges', { amount: 11 })
    await must(service, 'POST', '/v1/accounts/ada/refunds', { transactionId, amount: 5 })
    await must(service, 'POST', '/v1/accounts/bob/grants', { amount: 10 })
    balance -= 6
    if (name === 'v2') {
      await must(service, 'POST', `/v1/accounts/ada/holds/${holdId}/capture`, { amount: 30 })
      balance -= 30
      // it was begun when purchases were on, and is credited all the same
      const confirm = `/v1/purchases/${pendingId}/confirm`
      await must(service, 'POST', confirm, { paymentIntentId: 'bank-2' })
    }
    t.equal((await balanceOf(service, 'ada')).balance, balance, name)
    await service.close()
  }
  const last = await openIn(t, url, {})
  t.match(await balanceOf(last, 'bob'), { balance: 0, debt: 20 }, 'every grant paid debt')
  t.match(await balanceOf(last, 'ada'), { balance, held: 0 })
  t.match(await balanceOf(last, 'zoe'), { balance: 375 + 500, buckets: { purchased: 875 } })
  t.match(await balanceOf(last, 'pia'), { balance: 300, buckets: { monthly: 300 } })
  t.same((await last.call('GET', '/v1/reconcile')).body.mismatches, [])
})
