import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { MIGRATIONS_FOLDER, migrateUp } from '../db/migrate.js'
import type { Database } from '../db/open.js'
import { DatabaseSetupError } from '../db/setup-error.js'

/**
 * Drops everything of ours in the schema and applies all migrations anew. Throws
 * DatabaseSetupError, with nothing done, when the schema holds anybody else's tables or the
 * database has served in production.
 */
export const resetDatabase = async (db: Database): Promise<string[]> => {
  const tables = await tablesOf(db)
  const foreign = tables.filter((name) => !ourTables().has(name))
  if (foreign.length > 0) {
    throw new DatabaseSetupError(
      `the schema ${db.schema} holds tables that are not creditd's: ${foreign.join(', ')}`,
    )
  }
  if (tables.includes('api_keys') && (await hasLiveKeys(db))) {
    throw new DatabaseSetupError('the database holds live API keys: it has served in production')
  }
  await dropAll(db)
  return migrateUp(db)
}

const tablesOf = async ({ pool, schema }: Database): Promise<string[]> => {
  const { rows } = await pool.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = $1 order by 1`,
    [schema],
  )
  return rows.map(({ name }) => name)
}

/** As of any migration: an older database has tables that newer ones dropped. */
const ourTables = (): ReadonlySet<string> => {
  const names = new Set(['__drizzle_migrations'])
  const meta = join(MIGRATIONS_FOLDER, 'meta')
  for (const file of readdirSync(meta).filter((name) => name.endsWith('_snapshot.json'))) {
    const snapshot = JSON.parse(readFileSync(join(meta, file), 'utf8')) as {
      tables: Record<string, { name: string }>
    }
    for (const { name } of Object.values(snapshot.tables)) names.add(name)
  }
  return names
}

const hasLiveKeys = async ({ pool, schema }: Database): Promise<boolean> => {
  const table = `${pg.escapeIdentifier(schema)}.api_keys`
  const { rowCount } = await pool.query(`select 1 from ${table} where prefix ~ '^ck_live_' limit 1`)
  return rowCount === 1
}

/** What is in the schema, and not the schema itself, whose owner and rights may not be ours. */
const dropAll = async ({ pool, schema }: Database): Promise<void> => {
  const name = pg.escapeLiteral(schema)
  await pool.query(`
    do $$
    declare
      statements text[];
      statement text;
    begin
      -- all at once, before any: what goes along by cascade has no name any more
      select array_agg(s.text) into statements from (
        select format('drop view %I.%I cascade', schemaname, viewname) as text
          from pg_views where schemaname = ${name}
        union all
        select format('drop table %I.%I cascade', schemaname, tablename)
          from pg_tables where schemaname = ${name}
        union all
        select format('drop routine %s cascade', p.oid::regprocedure)
          from pg_proc p
          join pg_namespace n on n.oid = p.pronamespace
          left join pg_depend d on d.objid = p.oid and d.deptype = 'e'
         where n.nspname = ${name} and d.objid is null
        union all
        select format('drop type %s cascade', y.oid::regtype)
          from pg_type y
          join pg_namespace n on n.oid = y.typnamespace
          left join pg_class c on c.oid = y.typrelid
         where n.nspname = ${name}
           and (y.typtype in ('d', 'e') or y.typtype = 'c' and c.relkind = 'c')) s;
      foreach statement in array coalesce(statements, '{}') loop
        begin
          execute statement;
        exception when undefined_table or undefined_function
          or undefined_object then
          -- gone already, with something it depended on
        end;
      end loop;
    end
    $$
  `)
}
