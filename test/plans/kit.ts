import type pg from 'pg'
import { type AppSetup, openApp, type TestApp } from '../helpers/app.js'
import type { TestContext } from '../helpers/database.js'

/** Far beyond what a test asks for: limits are another matter. */
const WIDE = {
  RATE_LIMIT_AUTH: '100000/1m',
  RATE_LIMIT_API: '100000/1m',
  RATE_LIMIT_SEARCH: '100000/1m',
  RATE_LIMIT_BOOKING: '100000/1m',
}

export type Scene = TestApp & {
  /** Moves the time of the database on, and with it that of everything: at least so far. */
  moveTo(ms: number): Promise<void>
  now(): number
  subscribe(accountId: string, planId: string, more?: object): Promise<Record<string, unknown>>
  balance(accountId: string): Promise<{
    balance: number
    debt: number
    buckets: { monthly: number; bonus: number; purchased: number }
  }>
  /** The job, until nothing is due. */
  allocate(): Promise<string | undefined>
  /** Writes what is due in an account, as the sweep does. */
  sweep(accountId: string): Promise<void>
  /** Opens an account that has bought credits. */
  openBuyer(accountId: string, credits: number): Promise<void>
  /** Nothing in the books contradicts anything else there. */
  mismatches(): Promise<unknown[]>
  /** Rows of a type, oldest first. */
  rows(accountId: string, type: string): Promise<{ amount: number; detail: unknown }[]>
}

/**
 * The functions by which the ledger learns the time read it from a table of the test's own
 * database, which says by how much it is ahead.
 */
export const ownTime = async (pool: pg.Pool): Promise<void> => {
  await pool.query('create table if not exists test_time (ahead_ms bigint not null)')
  const { rowCount } = await pool.query('select 1 from test_time')
  if (rowCount === 1) return
  await pool.query('insert into test_time values (0)')
  const ahead = `(clock_timestamp() + (select ahead_ms from test_time) * interval '1 ms')`
  for (const name of ['ledger_append', 'ledger_load']) {
    const { rows } = await pool.query('select pg_get_functiondef($1::regproc) as source', [name])
    const source: string = rows[0].source
    if (!source.includes('clock_timestamp()')) throw new Error(`${name} asks no clock`)
    await pool.query(source.replaceAll('clock_timestamp()', ahead))
  }
}

export const openScene = async (t: TestContext, setup: AppSetup = {}): Promise<Scene> => {
  const service = await openApp(t, { ...setup, environment: { ...WIDE, ...setup.environment } })
  const { call, core, runJob } = service
  const { pool } = core.db
  await ownTime(pool)
  // what is read shows the time there
  const learn = () => core.ledger.read('nobody')
  await learn()
  return {
    ...service,
    now: core.now,
    async moveTo(ms) {
      await pool.query(
        `update test_time
            set ahead_ms = ceil($1 - extract(epoch from clock_timestamp()) * 1000)
          where $1 > ahead_ms + extract(epoch from clock_timestamp()) * 1000`,
        [ms],
      )
      await learn()
      // between the reply and now lies its way here
      while (core.now() < ms) await learn()
    },
    async subscribe(accountId, planId, more = {}) {
      const path = `/v1/accounts/${accountId}/subscription`
      const { status, body } = await call('PUT', path, { planId, ...more })
      if (status !== 200) throw new Error(`not subscribed: ${JSON.stringify(body)}`)
      return body
    },
    balance: async (accountId) => (await call('GET', `/v1/accounts/${accountId}/balance`)).body,
    allocate: () => runJob('plans.allocate'),
    async sweep(accountId) {
      const request = { accountId, key: core.newId(), digest: core.newId() }
      const by = { actor: 'test', requestId: null, metadata: null }
      await core.ledger.submit({ ...request, ...by, kind: 'sweep' })
    },
    async openBuyer(accountId, credits) {
      await service.open(accountId)
      const grant = { amount: credits, source: 'purchased' }
      await call('POST', `/v1/accounts/${accountId}/grants`, grant)
    },
    mismatches: async () => (await call('GET', '/v1/reconcile')).body.mismatches,
    async rows(accountId, type) {
      const text = `
        select amount, detail from transactions
         where account_id = $1 and type = $2 order by seq`
      return (await pool.query(text, [accountId, type])).rows
    },
  }
}

/** Puts a plan as the operator does. */
export const putPlan = async ({ call }: Scene, id: string, body: object): Promise<void> => {
  const reply = await call('PUT', `/v1/plans/${id}`, body)
  if (reply.status > 201) throw new Error(`no plan: ${JSON.stringify(reply.body)}`)
}
