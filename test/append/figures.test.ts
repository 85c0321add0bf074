import pg from 'pg'
import tap from 'tap'
import { openDatabase } from '../../src/db/open.js'
import { appendParameters, idsOf, loadParameters } from '../../src/ledger/wire.js'
import { createWriter } from '../../src/ledger/writer.js'
import { startCluster } from '../helpers/cluster.js'
import { quietLog } from '../helpers/database.js'
import { createRandom } from '../lanes/random.js'
import { charge, decided, ids, open, type Service, until, withGround } from './kit.js'

/*
 * In a cluster of their own: an open transaction that has written, in whichever database of a
 * cluster, keeps what was updated since from being pruned, and with it updates from being HOT.
 */
const cluster = await startCluster()
tap.teardown(cluster.stop)
process.env.TEST_PG_URL = cluster.url

const TABLES = ['accounts', 'grants', 'transactions', 'holds', 'refunds', 'pending_work']

/** Has `callers` at work at once until all operations are done. */
async function run({ ledger }: Service, accountIds: readonly string[], callers: number) {
  const left = accountIds.values()
  const call = async () => {
    for (const id of left) await ledger.submit(charge(id, 1))
  }
  await Promise.all(Array.from({ length: callers }, call))
}

/** In an order that has nothing to do with how they lie on pages: callers come as they please. */
const spread = (accountIds: readonly string[]): string[] => {
  const random = createRandom(accountIds.length)
  const keyed = accountIds.map((id) => ({ id, at: random.next() }))
  return keyed.sort((a, b) => a.at - b.at).map(({ id }) => id)
}

async function bytesOf(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ bytes: number }>(
    `select sum(pg_total_relation_size(name::regclass))::bigint as bytes
       from unnest($1::text[]) name`,
    [TABLES],
  )
  return rows[0]?.bytes ?? 0
}

/** Updates of the tables and how many were HOT; back ends tell for certain when they end. */
async function updatesOf(pool: pg.Pool, least: number): Promise<{ all: number; hot: number }> {
  const read = async () => {
    const { rows } = await pool.query<{ all: number; hot: number }>(
      `select sum(n_tup_upd)::bigint as all, sum(n_tup_hot_upd)::bigint as hot
         from pg_stat_user_tables where relname in ('accounts', 'grants')`,
    )
    return rows[0] ?? { all: 0, hot: 0 }
  }
  await until(async () => (await read()).all >= least)
  return read()
}

withGround('P11: round trips, bytes and HOT updates of a charge', async (t, ground) => {
  const { pool } = ground
  const accounts = ids(4000)
  const warm = await ground.open()
  await Promise.all(accounts.map((id) => warm.ledger.submit(open(id, 1_000_000))))
  await pool.query('vacuum analyze accounts, grants')
  for (let round = 0; round < 3; round += 1) await run(warm, spread(accounts), 256)
  await warm.close()
  const updates = accounts.length + 2 * 3 * accounts.length
  const before = { ...(await updatesOf(pool, updates)), bytes: await bytesOf(pool) }
  const service = await ground.open()
  for (let round = 0; round < 5; round += 1) await run(service, spread(accounts), 256)
  const charges = 5 * accounts.length
  const roundTrips = service.calls.length / charges
  await service.close()
  const bytes = ((await bytesOf(pool)) - before.bytes) / charges
  const after = await updatesOf(pool, before.all + 2 * charges)
  const hot = (100 * (after.hot - before.hot)) / (after.all - before.all)
  t.comment(
    `${roundTrips.toFixed(4)} round trips, ${bytes.toFixed(0)} bytes, ${hot.toFixed(2)} % HOT`,
  )
  t.ok(roundTrips <= 0.05, 'round trips per charge at 256 callers')
  t.ok(bytes <= 400, 'bytes on disk per charge')
  t.ok(hot >= 98, 'HOT updates of accounts and grants')
})

const CROWD = 30_000
/** A table's index and page, for each of the tables, with some to spare. */
const MAX_BLOCKS_PER_ACCOUNT = 60
const FILL = [
  `insert into accounts (id, version, seq, balance, held, debt, status, created_at, updated_at)
   select 'c-' || n, 1, 1, 1000, 0, 0, 'active', now(), now() from generate_series(1, ${CROWD}) n`,
  `insert into grants (account_id, grant_seq, amount, remaining, held, priority, is_revoked, live,
          source, created_at)
   select 'c-' || n, 1, 1000, 1000, 0, 50, false, true, 'bonus', now()
     from generate_series(1, ${CROWD}) n`,
  `insert into transactions (account_id, seq, type, amount, balance_after, held_after, debt_after,
          parts, key, digest, actor, created_at)
   select 'c-' || n, 1, 'grant', 1000, 1000, 0, 0, '[[1, 1000, "bonus"]]', gen_random_uuid(),
          gen_random_uuid(), 'tester', now()
     from generate_series(1, ${CROWD}) n`,
]

/** Blocks that a prepared statement of the port's only connection touches, done once more. */
async function blocksOf(pool: pg.Pool, name: string, values: readonly string[]): Promise<number> {
  const list = values.map((value) => pg.escapeLiteral(value)).join(', ')
  const { rows } = await pool.query<{ 'QUERY PLAN': readonly [{ Plan: Record<string, number> }] }>(
    `explain (analyze, buffers, format json) execute ${name}(${list})`,
  )
  const plan = rows[0]?.['QUERY PLAN'][0].Plan ?? {}
  return (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0)
}

withGround('plans made for empty tables serve full ones as well (F20)', async (t, ground) => {
  const { pool, close } = await openDatabase({ url: ground.url, log: quietLog, poolSize: 1 })
  t.teardown(close)
  const port = createWriter(pool)
  // More than the five executions after which a plan may be kept for good, while all is empty.
  for (const id of ids(12)) await port.append(await decided(port, open(id, 10)))
  for (const id of ids(12)) await port.append(await decided(port, charge(id, 1)))
  for (const id of ids(12)) await port.fence([id])
  for (const statement of FILL) await ground.pool.query(statement)
  const measure = async (from: number) => {
    const accounts = Array.from({ length: 20 }, (_, i) => `c-${from + 500 * i}`)
    const request = { accounts, keys: [], charges: [], holds: [], lots: [] }
    const load = await blocksOf(pool, 'ledger_load', loadParameters(request))
    const batch = await decided(port, ...accounts.map((id) => charge(id, 1)))
    const append = await blocksOf(pool, 'ledger_append', appendParameters(batch))
    const fence = await blocksOf(pool, 'ledger_fence', [idsOf(accounts)])
    return { load, append, fence }
  }
  await measure(7)
  const stale = await measure(1)
  await pool.query('analyze')
  await measure(17)
  const fresh = await measure(11)
  t.comment(
    `blocks for 20 accounts, stale statistics and fresh: ${JSON.stringify({ stale, fresh })}`,
  )
  // a rate of 0.8, counted in blocks: they are the same however busy the machine is
  for (const name of ['load', 'append', 'fence'] as const) {
    t.ok(stale[name] <= 1.25 * fresh[name], `${name} touches no more with stale statistics`)
    t.ok(fresh[name] <= 20 * MAX_BLOCKS_PER_ACCOUNT, `${name} touches few blocks`)
  }
})
