import type pg from 'pg'

/** What charges cost the database, in counts. */
export type Footprint = {
  readonly charges: number
  readonly roundTripsPerCharge: number
  readonly bytesPerCharge: number
  readonly walBytesPerCharge: number
  readonly hotPercent: number
}

type Counters = {
  readonly transactions: number
  readonly bytes: number
  readonly wal: number
  readonly updates: number
  readonly hotUpdates: number
}

/** Ended back ends have reported everything; this long is ample for them to end. */
const END_DEADLINE_MS = 5_000

/** The tables a charge writes. */
const TABLES = ['accounts', 'grants', 'transactions']

const COUNTERS = `
  select (select xact_commit + xact_rollback from pg_stat_database
           where datname = current_database())::float8 as transactions,
         sum(pg_total_relation_size(t.relid))::float8 as bytes,
         (pg_current_wal_insert_lsn() - '0/0')::float8 as wal,
         sum(t.n_tup_upd)::float8 as updates,
         sum(t.n_tup_hot_upd)::float8 as "hotUpdates"
    from pg_stat_user_tables t
   where t.relname = any ($1)`

/**
 * Counts what the database does for the charges that `work` makes and tells the number of: each
 * transaction is a round trip, also those of jobs and look-ups meanwhile.
 */
export async function measureFootprint(
  pool: pg.Pool,
  work: () => Promise<number>,
): Promise<Footprint> {
  const before = await readCounters(pool)
  const charges = await work()
  const after = await readCounters(pool)
  const grown = (counter: keyof Counters) => after[counter] - before[counter]
  return {
    charges,
    roundTripsPerCharge: grown('transactions') / charges,
    bytesPerCharge: grown('bytes') / charges,
    walBytesPerCharge: grown('wal') / charges,
    hotPercent: (100 * grown('hotUpdates')) / grown('updates'),
  }
}

/**
 * A back end keeps its counts to itself for seconds, and reports them when it ends: so all idle
 * ones of the service are ended, which it must survive anyway.
 */
async function readCounters(pool: pg.Pool): Promise<Counters> {
  await pool.query(
    `select pg_terminate_backend(pid, ${END_DEADLINE_MS}) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and state = 'idle'`,
  )
  const { rows } = await pool.query<Counters>(COUNTERS, [TABLES])
  const [row] = rows
  if (!row) throw new Error('no statistics')
  return row
}
