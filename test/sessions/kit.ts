import { type AppSetup, openApp, type Reply, type TestApp } from '../helpers/app.js'
import type { TestContext } from '../helpers/database.js'

/** Far beyond what a test asks for: limits are another matter. */
const WIDE = {
  RATE_LIMIT_AUTH: '100000/1m',
  RATE_LIMIT_API: '100000/1m',
  RATE_LIMIT_SEARCH: '100000/1m',
  RATE_LIMIT_BOOKING: '100000/1m',
}

export type Scene = TestApp & {
  /** Of everything above the ledger. */
  readonly clock: { aheadMs: number }
  /** The reply to a call with a session's token. */
  as(token: string, method: string, path: string, body?: unknown): Promise<Reply>
  /** Begins a session of an account; its token. */
  begin(accountId: string): Promise<string>
  /** A guest's token and account. */
  guest(): Promise<{ token: string; accountId: string }>
}

/** The service with a clock to move, and with its jobs at hand. */
export const openScene = async (t: TestContext, setup: AppSetup = {}): Promise<Scene> => {
  const clock = setup.clock ?? { aheadMs: 0 }
  const environment = { ...WIDE, ...setup.environment }
  const service = await openApp(t, { ...setup, clock, environment })
  const { call } = service
  return {
    ...service,
    clock,
    as: (token, method, path, body) => call(method, path, body, { key: token }),
    async begin(accountId) {
      const { status, body } = await call('POST', '/v1/sessions', { accountId })
      if (status !== 201) throw new Error(`no session: ${JSON.stringify(body)}`)
      return body.token
    },
    async guest() {
      const { status, body } = await call('POST', '/v1/sessions/guest', undefined, { key: null })
      if (status !== 201) throw new Error(`no guest: ${JSON.stringify(body)}`)
      return { token: body.token, accountId: body.accountId }
    },
  }
}

/** What a table holds, as text to search. */
export const dumpOf = async ({ core }: TestApp): Promise<string> => {
  const { rows } = await core.db.pool.query<{ name: string }>(
    `select quote_ident(tablename) as name from pg_tables where schemaname = 'public'`,
  )
  const dumps = rows.map(async ({ name }) => {
    const table = await core.db.pool.query(`select t::text as row from ${name} t`)
    return table.rows.map(({ row }) => `${name}: ${row}`).join('\n')
  })
  return (await Promise.all(dumps)).join('\n')
}
