import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import type { Test } from 'tap'
import { freshDatabase, type TestContext } from '../helpers/database.js'
import {
  type ServiceProcess,
  startService,
  TEST_KEY,
  temporaryDirectory,
} from '../helpers/server.js'
import { compiledService } from './kit-build.js'
import { type Client, contractOf, createClient, eventually } from './kit-client.js'

/** What the end-to-end suite runs on: one service or more over one database. */
export type Ground = Client & {
  readonly services: readonly ServiceProcess[]
  /** The operator's key. */
  readonly key: string
  /** Asks the database itself, beside the services. */
  sql<T extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<T[]>
  /** Opens an account, with credits when asked. */
  open(accountId: string, credits?: number): Promise<void>
  balanceOf(accountId: string): Promise<number>
}

/** Services get all their settings from here; nothing of the machine at hand reaches them. */
const SETTINGS = {
  LOG_LEVEL: 'info',
  DATABASE_POOL_SIZE: '10',
  // the suites try what is refused over and over, all from one address
  RATE_LIMIT_AUTH: '1000000/1m',
}

/** Two services on one PostgreSQL database; requests take turns. */
export const openPair = async (
  t: TestContext,
  env: Record<string, string> = {},
): Promise<Ground> => {
  const { url } = await freshDatabase(t)
  const program = await compiledService()
  const settings = { ...SETTINGS, DATABASE_URL: url, ...env }
  const start = () => startService(t, settings, program)
  return groundOf(t, await Promise.all([start(), start()]), TEST_KEY, url)
}

/** One service with nothing configured but where its data is; the key is the one it printed. */
export const openEmbedded = async (
  t: TestContext,
  env: Record<string, string> = {},
): Promise<Ground> => {
  const directory = temporaryDirectory(t)
  const settings = { ...SETTINGS, DATA_DIR: directory, CREDITD_API_KEY: '', ...env }
  const service = await startService(t, settings, await compiledService())
  const key = /ck_test_[\w-]{43}/.exec(service.output())?.[0]
  if (key === undefined) throw new Error('no first key was printed')
  return groundOf(t, [service], key, embeddedUrl(directory))
}

export const groundOf = async (
  t: TestContext,
  services: readonly ServiceProcess[],
  key: string,
  databaseUrl: string,
): Promise<Ground> => {
  const [first] = services
  if (!first) throw new Error('a ground needs a service')
  const urls = services.map(({ url }) => url)
  const client = createClient(() => urls, key, await contractOf(first))
  const database = openSql(databaseUrl)
  t.teardown(async () => {
    client.close()
    await database.end()
  })
  return {
    ...client,
    services,
    key,
    sql: database.sql,
    open: (accountId, credits = 0) => openAccount(client, accountId, credits),
    balanceOf: async (accountId) => {
      const { body } = await client.call('GET', `/v1/accounts/${accountId}/balance`)
      return body.balance as number
    },
  }
}

export const openAccount = async (
  client: Client,
  accountId: string,
  credits: number,
): Promise<void> => {
  const opened = await client.call('PUT', `/v1/accounts/${accountId}`)
  if (opened.status !== 201) throw new Error(`not opened: ${JSON.stringify(opened.body)}`)
  if (credits === 0) return
  const granted = await client.call('POST', `/v1/accounts/${accountId}/grants`, { amount: credits })
  if (granted.status !== 201) throw new Error(`not granted: ${JSON.stringify(granted.body)}`)
}

/** A few connections of the test's own; they survive a database that restarts. */
export const openSql = (url: string) => {
  const pool = new pg.Pool({ connectionString: url, max: 4, application_name: 'e2e test' })
  pool.on('error', () => {})
  return {
    sql: async <T extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) => {
      const { rows } = await pool.query<T>(text, [...values])
      return rows
    },
    end: () => pool.end(),
  }
}

/** Where the embedded database of a service is; it changes with each start of the server. */
export const embeddedUrl = (directory: string): string => {
  const place = join(directory, 'postgres')
  const password = readFileSync(join(place, 'password'), 'utf8').trim()
  const [, , , port] = postmasterFile(directory)
  return `postgres://creditd:${encodeURIComponent(password)}@127.0.0.1:${port}/creditd`
}

export const embeddedPid = (directory: string): number => Number(postmasterFile(directory)[0])

const postmasterFile = (directory: string): readonly string[] =>
  readFileSync(join(directory, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n')

/** Nothing is pending and the books agree, by the service's own word. */
export const assertReconciled = async (t: Test, ground: Ground): Promise<void> => {
  await eventually('transfers are finished', async () => (await pendingOf(ground)) === 0, 20_000)
  const { status, body } = await ground.call('GET', '/v1/reconcile')
  t.equal(status, 200)
  t.same(body.mismatches, [], 'reconcile finds nothing')
  t.ok(body.accounts > 0, `${body.accounts} accounts were looked at`)
}

const pendingOf = async (ground: Ground): Promise<number> => {
  const [row] = await ground.sql<{ count: string }>('select count(*) from pending_work')
  return Number(row?.count)
}
