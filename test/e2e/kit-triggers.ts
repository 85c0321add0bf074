import type { Ground } from './kit-ground.js'

type Sql = Ground['sql']

/** Every write to the ledger takes so much longer; gives what ends it. */
export const slowDown = async (sql: Sql, seconds: number): Promise<() => Promise<unknown>> => {
  await sql(`
    create or replace function e2e_slow() returns trigger language plpgsql as $$
    begin
      perform pg_sleep(${seconds});
      return null;
    end $$`)
  await sql(`
    create trigger e2e_slow before insert on transactions
      for each statement execute function e2e_slow()`)
  return () => sql('drop trigger e2e_slow on transactions')
}

/** Rows whose metadata has the key "poison" can not be stored; gives what ends it. */
export const raiseOnPoison = async (sql: Sql): Promise<() => Promise<unknown>> => {
  await sql(`alter table transactions add constraint e2e_poison check (
    metadata is null or not metadata ? 'poison') not valid`)
  return () => sql('alter table transactions drop constraint e2e_poison')
}
