import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { type BenchCluster, PLAIN_DATABASE } from './cluster.js'
import { findPgbench, type Program } from './find-pgbench.js'
import { FUNDS } from './funds.js'

export type PgbenchRun = {
  readonly isHot: boolean
  readonly clients: number
  readonly durationMs: number
}
export type PgbenchResult = { readonly rate: number; readonly transactions: number }

export type Pgbench = {
  readonly version: string
  run(plan: PgbenchRun): Promise<PgbenchResult>
  /** Rows written by everybody's charges so far. */
  countRows(): Promise<number>
}

const THREADS = 2
const GRACE_MS = 20_000

const run = promisify(execFile)

/**
 * The same logical charge as one statement: the balance falls if it suffices, and a row with the
 * balance after it, a unique key, and what an audit asks for tells of it. The tables have what that
 * needs and no more: no grants, no foreign key.
 */
const TABLES = `
  create table accounts (
    id text primary key,
    seq bigint not null,
    balance bigint not null check (balance >= 0)
  ) with (fillfactor = 70);
  create table ledger (
    account_id text not null,
    seq bigint not null,
    type text not null,
    amount bigint not null,
    balance_after bigint not null,
    key uuid not null,
    digest uuid not null,
    actor text not null,
    request_id text not null,
    created_at timestamptz not null,
    primary key (account_id, seq),
    unique (account_id, key)
  )`

const CHARGE = `
\\set account random(1, :accounts)
\\set amount random(1, 9)
\\set request random(1, 1000000)
with charged as (
  update accounts set balance = balance - :amount::bigint, seq = seq + 1
   where id = 'user-' || :account::int and balance >= :amount::bigint
  returning id, seq, balance)
insert into ledger (
  account_id, seq, type, amount, balance_after, key, digest, actor, request_id, created_at)
select id, seq, 'charge', - :amount::bigint, balance, gen_random_uuid(), gen_random_uuid(),
       'bench', 'bench-' || :client_id::int || '-' || :request::int, now()
  from charged
returning seq, balance_after;
`

/** Makes the comparator's tables and gives what runs on them. */
export async function preparePgbench(
  cluster: BenchCluster,
  { accounts, directory }: { readonly accounts: number; readonly directory: string },
): Promise<Pgbench> {
  const program = findPgbench()
  const script = join(directory, 'charge.sql')
  writeFileSync(script, CHARGE)
  const url = cluster.urlOf(PLAIN_DATABASE)
  await query(url, TABLES)
  await query(
    url,
    `insert into accounts select 'user-' || n, 0, ${FUNDS} from generate_series(1, ${accounts}) n`,
  )
  await query(url, 'vacuum analyze accounts')
  return {
    version: program.version,
    run: (plan) => charge({ program, script, cluster, accounts }, plan),
    countRows: async () => Number((await query(url, 'select count(*) as n from ledger'))[0]?.n),
  }
}

type Setting = {
  readonly program: Program
  readonly script: string
  readonly cluster: BenchCluster
  readonly accounts: number
}

async function charge(
  { program, script, cluster, accounts }: Setting,
  { isHot, clients, durationMs }: PgbenchRun,
): Promise<PgbenchResult> {
  const args = [
    ...['--no-vacuum', '--protocol=prepared', `--file=${script}`],
    `--define=accounts=${isHot ? 1 : accounts}`,
    `--client=${clients}`,
    `--jobs=${Math.min(clients, THREADS)}`,
    `--time=${Math.max(1, Math.round(durationMs / 1000))}`,
    ...['--host=127.0.0.1', `--port=${cluster.port}`, `--username=${cluster.user}`, PLAIN_DATABASE],
  ]
  const { stdout } = await run(program.path, args, {
    env: { ...program.env, LC_ALL: 'C', PGPASSWORD: cluster.password },
    timeout: durationMs + GRACE_MS,
  })
  const rate = Number(/tps = ([\d.]+)/.exec(stdout)?.[1])
  const transactions = Number(/actually processed: (\d+)/.exec(stdout)?.[1])
  const failed = Number(/failed transactions: (\d+)/.exec(stdout)?.[1] ?? 0)
  // on a busy machine a short run of many clients may get nothing done; that is no failure
  if (!(rate >= 0) || !(transactions >= 0) || failed > 0) {
    throw new Error(`pgbench did not do what it should: ${stdout.slice(-1_000)}`)
  }
  return { rate, transactions }
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}
