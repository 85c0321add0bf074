import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { BaseLogger } from 'pino'
import { sqlStateOf } from './errors.js'
import { type Migration, readMigrations } from './migration-files.js'
import type { Database } from './open.js'
import { DatabaseSetupError } from './setup-error.js'

/** The same from src/ and from dist/: both are one level below the root. */
export const MIGRATIONS_FOLDER = fileURLToPath(new URL('../../migrations', import.meta.url))

export type MigrationState = 'applied' | 'pending' | 'changed' | 'unknown'

export type MigrationStatus = {
  readonly tag: string
  readonly state: MigrationState
  readonly hasWayBack: boolean
}

export type MigrationOptions = {
  readonly folder?: string
  readonly log?: Pick<BaseLogger, 'info' | 'warn'>
}

type Applied = { readonly id: number; readonly hash: string; readonly createdAtMs: number }

/** Drizzle's name for its bookkeeping; drizzle.config.ts says the same. */
const TABLE = '__drizzle_migrations'

/** Marks our advisory locks among those of others in the same database. */
const LOCK_CLASS = 0x63726564

/** Others may be applying a long migration; whoever waits longer than this is told. */
const LOCK_WAIT_MS = 300_000

/** A migration that waits for a table makes every later query wait behind it: give up soon. */
const TABLE_LOCK_WAIT_MS = 10_000

/** The largest delay of a timer: a migration takes as long as it takes. */
const NO_TIMEOUT_MS = 2 ** 31 - 1

/**
 * Applies what is pending, in order, each migration in a transaction of its own, and returns the
 * tags applied. Safe to run again and by many processes at once. Throws DatabaseSetupError when the
 * folder and the database disagree; then nothing was applied.
 */
export const migrateUp = (db: Database, options: MigrationOptions = {}): Promise<string[]> =>
  withMigrationLock(db, async (client) => {
    await createBookkeeping(client, db.schema)
    const migrations = readMigrations(options.folder ?? MIGRATIONS_FOLDER)
    const applied = await readApplied(client, db.schema)
    const pending = selectPending(migrations, applied)
    for (const migration of pending) {
      await runStatements(client, migration, migration.upStatements, {
        text: `insert into ${tableOf(db.schema)} (hash, created_at) values ($1, $2)`,
        values: [migration.hash, migration.createdAtMs],
      })
      options.log?.info({ migration: migration.tag, schema: db.schema }, 'migration applied')
    }
    return pending.map(({ tag }) => tag)
  })

/**
 * Takes the newest `steps` migrations back, newest first, and returns their tags. Throws
 * DatabaseSetupError when one has no way back, or its file changed after it was applied.
 */
export const migrateDown = (
  db: Database,
  options: MigrationOptions & { readonly steps: number },
): Promise<string[]> =>
  withMigrationLock(db, async (client) => {
    if (!(await hasBookkeeping(client, db.schema))) return []
    const migrations = readMigrations(options.folder ?? MIGRATIONS_FOLDER)
    const applied = await readApplied(client, db.schema)
    const newestFirst = applied.toReversed().slice(0, options.steps)
    // all are looked at before any is run
    const plan = newestFirst.map((row) => ({ row, ...wayBackOf(migrations, row) }))
    for (const { row, migration, statements } of plan) {
      await runStatements(client, migration, statements, {
        text: `delete from ${tableOf(db.schema)} where id = $1`,
        values: [row.id],
      })
      options.log?.info({ migration: migration.tag, schema: db.schema }, 'migration taken back')
    }
    return plan.map(({ migration }) => migration.tag)
  })

/** Every migration of the folder and of the database, oldest first; writes nothing. */
export const migrationStatus = async (
  db: Database,
  options: MigrationOptions = {},
): Promise<MigrationStatus[]> => {
  const migrations = readMigrations(options.folder ?? MIGRATIONS_FOLDER)
  const client = await db.pool.connect()
  try {
    const isKept = await hasBookkeeping(client, db.schema)
    const applied = isKept ? await readApplied(client, db.schema) : []
    const known = migrations.map((migration) => ({
      tag: migration.tag,
      state: stateOf(migration, applied),
      hasWayBack: migration.downStatements !== null,
    }))
    const unknown = applied
      .filter((row) => !migrations.some(({ createdAtMs }) => createdAtMs === row.createdAtMs))
      .map((row) => ({ tag: `${row.createdAtMs}`, state: 'unknown' as const, hasWayBack: false }))
    return [...known, ...unknown]
  } finally {
    client.release()
  }
}

const stateOf = (migration: Migration, applied: readonly Applied[]): MigrationState => {
  const row = applied.find(({ createdAtMs }) => createdAtMs === migration.createdAtMs)
  if (!row) return 'pending'
  return row.hash === migration.hash ? 'applied' : 'changed'
}

const selectPending = (
  migrations: readonly Migration[],
  applied: readonly Applied[],
): readonly Migration[] => {
  const newestMs = applied.at(-1)?.createdAtMs ?? Number.NEGATIVE_INFINITY
  return migrations.filter((migration) => {
    const state = stateOf(migration, applied)
    if (state === 'changed') throw changed(migration)
    if (state === 'pending' && migration.createdAtMs < newestMs) {
      throw new DatabaseSetupError(
        `migration ${migration.tag} is older than the newest one applied: it came too late and ` +
          'was not run; generate it anew so that it is the newest',
      )
    }
    return state === 'pending'
  })
}

const wayBackOf = (
  migrations: readonly Migration[],
  row: Applied,
): { migration: Migration; statements: readonly string[] } => {
  const migration = migrations.find(({ createdAtMs }) => createdAtMs === row.createdAtMs)
  if (!migration) {
    throw new DatabaseSetupError(
      `the newest migration of the database (${row.createdAtMs}) is not in this version: ` +
        'take it back with the version that applied it',
    )
  }
  if (migration.hash !== row.hash) throw changed(migration)
  if (!migration.downStatements) {
    throw new DatabaseSetupError(`migration ${migration.tag} has no ${migration.tag}.down.sql`)
  }
  return { migration, statements: migration.downStatements }
}

const changed = ({ tag }: Migration) =>
  new DatabaseSetupError(
    `migration ${tag} was changed after it was applied: restore the file, and make a new migration`,
  )

const runStatements = async (
  client: pg.PoolClient,
  migration: Migration,
  statements: readonly string[],
  record: { text: string; values: unknown[] },
): Promise<void> => {
  await client.query('begin')
  try {
    for (const text of statements) await query(client, text)
    await client.query(record)
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => {})
    const hint = sqlStateOf(error) === '55P03' ? ': a table is in use; try again' : ''
    const { message } = error as Error
    throw new DatabaseSetupError(`migration ${migration.tag} failed: ${message}${hint}`, error)
  }
}

const withMigrationLock = async <T>(
  db: Database,
  act: (client: pg.PoolClient) => Promise<T>,
): Promise<T> => {
  const client = await db.pool.connect()
  const literal = pg.escapeLiteral(db.schema)
  try {
    await query(client, `set statement_timeout = 0; set lock_timeout = ${LOCK_WAIT_MS}`)
    await query(client, `select pg_advisory_lock(${LOCK_CLASS}, hashtext(${literal}))`)
    await query(client, `set lock_timeout = ${TABLE_LOCK_WAIT_MS}`)
    return await act(client)
  } finally {
    // closing the connection gives the lock back and forgets the settings, whatever happened
    client.release(true)
  }
}

const createBookkeeping = async (client: pg.PoolClient, schema: string): Promise<void> => {
  const { rowCount } = await client.query('select 1 from pg_namespace where nspname = $1', [schema])
  // not "if not exists" alone: that needs the right to create schemas even where there is one
  if (rowCount === 0)
    await client.query(`create schema if not exists ${pg.escapeIdentifier(schema)}`)
  if (await hasBookkeeping(client, schema)) return
  await client.query(`
    create table if not exists ${tableOf(schema)} (
      id serial primary key,
      hash text not null,
      created_at bigint
    )
  `)
}

const hasBookkeeping = async (client: pg.PoolClient, schema: string): Promise<boolean> => {
  const { rows } = await client.query<{ found: boolean }>(
    'select to_regclass($1) is not null as found',
    [tableOf(schema)],
  )
  return rows[0]?.found === true
}

const readApplied = async (client: pg.PoolClient, schema: string): Promise<Applied[]> => {
  const { rows } = await client.query<Applied>(
    `select id, hash, created_at as "createdAtMs" from ${tableOf(schema)} order by created_at, id`,
  )
  return rows
}

const tableOf = (schema: string) => `${pg.escapeIdentifier(schema)}.${TABLE}`

const query = (client: pg.PoolClient, text: string) =>
  client.query({ text, query_timeout: NO_TIMEOUT_MS } as pg.QueryConfig)
