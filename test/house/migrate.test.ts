import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { MIGRATIONS_FOLDER, migrateDown, migrateUp, migrationStatus } from '../../src/db/migrate.js'
import { type Database, openDatabase } from '../../src/db/open.js'
import { emptyDatabase, quietLog, type TestContext } from '../helpers/database.js'

const openEmpty = async (t: TestContext, schema?: string): Promise<Database & { url: string }> => {
  const { url } = await emptyDatabase(t)
  const db = await openDatabase({ url, log: quietLog, schema: schema ?? null })
  t.teardown(() => db.close())
  return { ...db, url }
}

/** Everything the migrations make, as text. */
const catalogueOf = async (db: Database): Promise<string[]> => {
  const { rows } = await db.pool.query<{ line: string }>(CATALOGUE, [db.schema])
  return rows.map(({ line }) => line)
}

const CATALOGUE = `
  with ours as (select oid from pg_namespace where nspname = $1)
  select 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
         || ' ' || a.attnotnull || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') as line
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
   where c.relnamespace in (select oid from ours) and c.relkind in ('r', 'v', 'm', 'p', 'c')
  union all
  select 'options ' || relname || ' ' || relkind::text || ' ' || coalesce(reloptions::text, '')
    from pg_class where relnamespace in (select oid from ours)
  union all
  select 'view ' || viewname || ' ' || definition from pg_views where schemaname = $1
  union all
  select 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    from pg_constraint where connamespace in (select oid from ours)
  union all
  select 'index ' || indexdef from pg_indexes where schemaname = $1
  union all
  select 'function ' || pg_get_functiondef(oid) from pg_proc
   where pronamespace in (select oid from ours)
  union all
  select 'type ' || y.typname || ' ' || y.typtype::text || ' ' || coalesce(c.relkind::text, '')
    from pg_type y left join pg_class c on c.oid = y.typrelid
   where y.typnamespace in (select oid from ours)
  union all
  select 'trigger ' || pg_get_triggerdef(oid) from pg_trigger
   where not tgisinternal
     and tgrelid in (select oid from pg_class where relnamespace in (select oid from ours))
  order by line
`

/** A folder of its own with two small migrations and the ways back. */
const smallFolder = (t: TestContext): string => {
  const folder = mkdtempSync(join(tmpdir(), 'migrations-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const files = {
    '0000_one.sql': 'create table one (id text primary key)',
    '0000_one.down.sql': 'drop table one',
    '0001_two.sql':
      'create table two (id text);\n--> statement-breakpoint\ninsert into two values (1)',
    '0001_two.down.sql': 'drop table two',
  }
  cpSync(join(MIGRATIONS_FOLDER, 'meta'), join(folder, 'meta'), { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  writeJournal(folder, { '0000_one': 1_000, '0001_two': 2_000 })
  return folder
}

const writeJournal = (folder: string, entries: Record<string, number>): void => {
  const list = Object.entries(entries).map(([tag, when], idx) => ({ idx, when, tag }))
  writeFileSync(join(folder, 'meta', '_journal.json'), JSON.stringify({ entries: list }))
}

const up = readdirSync(MIGRATIONS_FOLDER).filter((name) => /^\d{4}_\w+\.sql$/.test(name))

t.test('up, down to nothing and up again give the same catalogue', async (t) => {
  const db = await openEmpty(t)
  const before = await catalogueOf(db)
  const applied = await migrateUp(db)
  t.equal(applied.length, up.length)
  const first = await catalogueOf(db)
  t.ok(first.length > 100, 'the catalogue is really read')
  t.same(await migrateDown(db, { steps: applied.length }), applied.toReversed())
  const bookkeeping = (line: string) => !/__drizzle_migrations/.test(line)
  t.same((await catalogueOf(db)).filter(bookkeeping), before, 'nothing is left behind')
  await migrateUp(db)
  t.same(await catalogueOf(db), first)
})

t.test('each single step back and forth gives the same catalogue', async (t) => {
  const db = await openEmpty(t)
  await migrateUp(db)
  const whole = await catalogueOf(db)
  for (let steps = 1; steps <= up.length; steps++) {
    await migrateDown(db, { steps })
    t.equal((await migrateUp(db)).length, steps)
    t.same(await catalogueOf(db), whole, `after ${steps} back and forth`)
  }
})

t.test('five processes at once on an empty database all succeed', async (t) => {
  const { url } = await emptyDatabase(t)
  const dbs = await Promise.all(
    Array.from({ length: 5 }, () => openDatabase({ url, log: quietLog, schema: 'credits' })),
  )
  const applied = await Promise.all(dbs.map((db) => migrateUp(db)))
  t.equal(applied.flat().length, up.length, 'each migration was applied once')
  await Promise.all(dbs.map((db) => db.close()))
})

t.test('applying twice does nothing the second time', async (t) => {
  const db = await openEmpty(t)
  await migrateUp(db)
  t.same(await migrateUp(db), [])
})

t.test('two schemas of one database are apart, bookkeeping too', async (t) => {
  const one = await openEmpty(t, 'prod')
  const other = await openDatabase({ url: one.url, log: quietLog, schema: 'preview' })
  t.teardown(() => other.close())
  await migrateUp(one)
  t.same(
    (await migrationStatus(other)).map(({ state }) => state),
    up.map(() => 'pending'),
  )
  await migrateUp(other)
  const renamed = (lines: string[], name: string) =>
    lines.map((l) => l.replaceAll(name, 'x')).sort()
  t.same(renamed(await catalogueOf(one), 'prod'), renamed(await catalogueOf(other), 'preview'))
  await migrateDown(other, { steps: up.length })
  t.ok((await migrationStatus(one)).every(({ state }) => state === 'applied'))
  const { rows } = await one.pool.query(
    `select count(*) as count from pg_tables where schemaname = 'public'`,
  )
  t.same(rows, [{ count: 0 }], 'nothing lands in public')
})

t.test('drizzle itself finds its journal as it left it', async (t) => {
  const { drizzle } = await import('drizzle-orm/node-postgres')
  const { migrate } = await import('drizzle-orm/node-postgres/migrator')
  const db = await openEmpty(t, 'credits')
  await migrateUp(db)
  const before = await catalogueOf(db)
  const client = new pg.Client({ connectionString: db.url, options: '-c search_path=credits' })
  await client.connect()
  await migrate(drizzle(client), {
    migrationsFolder: MIGRATIONS_FOLDER,
    migrationsSchema: 'credits',
  })
  await client.end()
  t.same(await catalogueOf(db), before)
})

t.test('status tells applied, pending, changed and unknown', async (t) => {
  const folder = smallFolder(t)
  const db = await openEmpty(t)
  const states = async () =>
    (await migrationStatus(db, { folder })).map(({ tag, state }) => `${tag} ${state}`)
  t.same(await states(), ['0000_one pending', '0001_two pending'], 'before there is a table')
  await migrateUp(db, { folder })
  t.same(await states(), ['0000_one applied', '0001_two applied'])
  writeFileSync(join(folder, '0000_one.sql'), 'create table three (id text)')
  t.same(await states(), ['0000_one changed', '0001_two applied'])
  writeJournal(folder, { '0001_two': 2_000 })
  t.same(await states(), ['0001_two applied', '1000 unknown'])
})

t.test('a file that changed after it was applied is refused, up and down', async (t) => {
  const folder = smallFolder(t)
  const db = await openEmpty(t)
  await migrateUp(db, { folder })
  writeFileSync(join(folder, '0001_two.sql'), 'create table two (id int)')
  const refused = { message: /0001_two was changed after it was applied/ }
  await t.rejects(migrateUp(db, { folder }), refused)
  await t.rejects(migrateDown(db, { folder, steps: 1 }), refused)
})

t.test('a migration older than the newest applied is refused, not skipped', async (t) => {
  const folder = smallFolder(t)
  const db = await openEmpty(t)
  await migrateUp(db, { folder })
  writeFileSync(join(folder, '0002_late.sql'), 'create table late (id int)')
  writeJournal(folder, { '0000_one': 1_000, '0002_late': 1_500, '0001_two': 2_000 })
  await t.rejects(migrateUp(db, { folder }), { message: /0002_late is older/ })
})

t.test('a database ahead of this version is left alone', async (t) => {
  const folder = smallFolder(t)
  const db = await openEmpty(t)
  await migrateUp(db, { folder })
  writeJournal(folder, { '0000_one': 1_000 })
  t.same(await migrateUp(db, { folder }), [], 'an older instance may start beside a newer one')
  await t.rejects(migrateDown(db, { folder, steps: 1 }), { message: /not in this version/ })
})

t.test('a migration that fails leaves nothing, and those before it stay', async (t) => {
  const folder = smallFolder(t)
  writeFileSync(
    join(folder, '0001_two.sql'),
    'create table two (id int);\n--> statement-breakpoint\nselect 1 / 0',
  )
  const db = await openEmpty(t)
  await t.rejects(migrateUp(db, { folder }), { message: /0001_two failed: division by zero/ })
  t.same(
    (await migrationStatus(db, { folder })).map(({ state }) => state),
    ['applied', 'pending'],
  )
  const { rows } = await db.pool.query(`select to_regclass('two') is null as gone`)
  t.same(rows, [{ gone: true }])
})

t.test('a migration without a way back is refused before anything is undone', async (t) => {
  const folder = smallFolder(t)
  const db = await openEmpty(t)
  await migrateUp(db, { folder })
  rmSync(join(folder, '0000_one.down.sql'))
  await t.rejects(migrateDown(db, { folder, steps: 2 }), { message: /no 0000_one.down.sql/ })
  t.ok((await migrationStatus(db, { folder })).every(({ state }) => state === 'applied'))
})

t.test('every migration has a way back', async (t) => {
  for (const name of up) {
    const text = readFileSync(join(MIGRATIONS_FOLDER, name.replace('.sql', '.down.sql')), 'utf8')
    t.ok(text.trim().length > 0, name)
  }
})
