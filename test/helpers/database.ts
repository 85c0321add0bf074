import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { migrateUp } from '../../src/db/migrate.js'
import { type Database, type DatabaseOptions, openDatabase } from '../../src/db/open.js'
import { ensureCluster, ROOT } from './cluster.js'

/** What these helpers need of a tap test. */
export type TestContext = {
  readonly passing: () => boolean
  readonly comment: (...args: unknown[]) => void
  readonly teardown: (act: () => unknown) => void
}

export type TestDatabase = { readonly url: string; readonly name: string }

export const quietLog: DatabaseOptions['log'] = { info() {}, warn() {}, error() {} }

const TEMPLATE_LOCK = 0x74706c

/**
 * A database of the test's own, migrated. It is dropped when the test ends, unless the test
 * failed: then its URL is printed and it stays until the cluster ends.
 */
export const freshDatabase = async (t: TestContext): Promise<TestDatabase> => {
  const base = await ensureCluster()
  const template = await ensureTemplate(base)
  return createDatabase(t, base, ` template ${template} strategy file_copy`)
}

/** The same without any table. */
export const emptyDatabase = async (t: TestContext): Promise<TestDatabase> =>
  createDatabase(t, await ensureCluster(), '')

/** A fresh database, opened; closed and dropped when the test ends. */
export const openFresh = async (
  t: TestContext,
  options: Partial<DatabaseOptions> = {},
): Promise<Database & TestDatabase> => {
  const { url, name } = await freshDatabase(t)
  const db = await openDatabase({ url, log: quietLog, ...options })
  t.teardown(() => db.close())
  return { ...db, url, name }
}

/** Runs statements as the cluster's superuser, outside any database of a test. */
export const administrate = async (base: string, ...statements: string[]): Promise<void> => {
  const client = new pg.Client({ connectionString: `${base}/postgres` })
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}

const createDatabase = async (
  t: TestContext,
  base: string,
  from: string,
): Promise<TestDatabase> => {
  const name = `t_${randomBytes(6).toString('hex')}`
  await administrate(base, `create database ${name}${from}`)
  const url = `${base}/${name}`
  t.teardown(async () => {
    if (t.passing()) await administrate(base, `drop database if exists ${name} with (force)`)
    else t.comment(`the database of the failed test is kept: ${url}`)
  })
  return { url, name }
}

/** A migrated database to copy from, one for each state of the migrations folder. */
const ensureTemplate = async (base: string): Promise<string> => {
  const name = `template_${migrationsHash()}`
  const client = new pg.Client({ connectionString: `${base}/postgres` })
  await client.connect()
  try {
    if (await databaseExists(client, name)) return name
    await client.query('select pg_advisory_lock($1)', [TEMPLATE_LOCK])
    if (await databaseExists(client, name)) return name
    const draft = `${name}_draft`
    await client.query(`drop database if exists ${draft} with (force)`)
    await client.query(`create database ${draft}`)
    const db = await openDatabase({ url: `${base}/${draft}`, log: quietLog })
    await migrateUp(db).finally(() => db.close())
    await client.query(`alter database ${draft} rename to ${name}`)
    return name
  } finally {
    await client.end()
  }
}

const databaseExists = async (client: pg.Client, name: string): Promise<boolean> => {
  const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name])
  return rowCount === 1
}

const migrationsHash = (): string => {
  const folder = join(ROOT, 'migrations')
  const hash = createHash('sha256')
  for (const name of readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort()) {
    hash.update(name).update(readFileSync(join(folder, name)))
  }
  hash.update(readFileSync(join(folder, 'meta', '_journal.json')))
  return hash.digest('hex').slice(0, 12)
}
