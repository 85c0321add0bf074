import { performance } from 'node:perf_hooks'
import { migrationStatus } from '../db/migrate.js'
import type { Database } from '../db/open.js'

export type Finding = {
  readonly check: string
  readonly status: 'ok' | 'warning' | 'failed'
  readonly detail: string
}

const SLOW_ROUND_TRIP_MS = 50
const MAX_CLOCK_DIFFERENCE_MS = 5_000
const ROUND_TRIPS = 5

type ServerFacts = {
  readonly version: string
  readonly isStandby: boolean
  readonly isReadOnly: boolean
  readonly isEncrypted: boolean
  readonly encoding: string
  readonly fsync: string
  readonly fullPageWrites: string
  readonly synchronousCommit: string
  readonly maxConnections: number
  readonly connections: number
  readonly nowMs: number
}

/**
 * Looks at everything a service needs of its database, in the order in which it would fail. Writes
 * nothing that stays. `poolSize` is what one instance takes; `nowMs` is this machine's time.
 */
export const checkDatabase = async (
  db: Database,
  { poolSize, nowMs }: { readonly poolSize: number; readonly nowMs: number },
): Promise<Finding[]> => {
  const facts = await readFacts(db)
  return [
    { check: 'connection', status: 'ok', detail: `${db.description}, schema ${db.schema}` },
    { check: 'server', status: 'ok', detail: `PostgreSQL ${facts.version}` },
    await checkRoundTrip(db),
    checkEncoding(facts),
    checkWritable(facts),
    checkDurability(facts),
    checkConnections(facts, poolSize),
    checkClock(Math.abs(nowMs - facts.nowMs)),
    ...(await checkMigrations(db)),
    await checkWrite(db),
  ]
}

const readFacts = async ({ pool }: Database): Promise<ServerFacts> => {
  const { rows } = await pool.query<ServerFacts>(`
    select current_setting('server_version') as version,
           pg_is_in_recovery() as "isStandby",
           current_setting('default_transaction_read_only') = 'on' as "isReadOnly",
           coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false)
             as "isEncrypted",
           current_setting('server_encoding') as encoding,
           current_setting('fsync') as fsync,
           current_setting('full_page_writes') as "fullPageWrites",
           current_setting('synchronous_commit') as "synchronousCommit",
           current_setting('max_connections')::int
             - current_setting('superuser_reserved_connections')::int as "maxConnections",
           (select count(*) from pg_stat_activity where backend_type = 'client backend')
             as connections,
           floor(extract(epoch from clock_timestamp()) * 1000)::bigint as "nowMs"
  `)
  const [facts] = rows
  if (!facts) throw new Error('the database said nothing of itself')
  return facts
}

const checkRoundTrip = async ({ pool }: Database): Promise<Finding> => {
  const times: number[] = []
  for (let i = 0; i < ROUND_TRIPS; i += 1) {
    const startedMs = performance.now()
    await pool.query('select 1')
    times.push(performance.now() - startedMs)
  }
  const bestMs = Math.min(...times)
  return {
    check: 'round trip',
    status: bestMs > SLOW_ROUND_TRIP_MS ? 'warning' : 'ok',
    detail: `${bestMs.toFixed(1)} ms at best of ${ROUND_TRIPS}`,
  }
}

const checkEncoding = ({ encoding }: ServerFacts): Finding => ({
  check: 'encoding',
  status: encoding === 'UTF8' ? 'ok' : 'failed',
  detail: encoding === 'UTF8' ? encoding : `${encoding}: the database must be created with UTF8`,
})

const checkWritable = ({ isStandby, isReadOnly }: ServerFacts): Finding => {
  const detail = isStandby ? 'it is a standby' : isReadOnly ? 'it is set to read only' : 'a primary'
  return { check: 'writable', status: isStandby || isReadOnly ? 'failed' : 'ok', detail }
}

const checkDurability = (facts: ServerFacts): Finding => {
  const unsafe = [
    facts.fsync === 'off' && 'fsync=off',
    facts.fullPageWrites === 'off' && 'full_page_writes=off',
    facts.synchronousCommit === 'off' && 'synchronous_commit=off',
  ].filter((setting) => setting !== false)
  if (unsafe.length === 0) {
    return { check: 'durability', status: 'ok', detail: 'what is acknowledged survives a crash' }
  }
  const detail = `${unsafe.join(', ')}: a crash loses what was acknowledged`
  return { check: 'durability', status: 'warning', detail }
}

const checkConnections = (
  { connections, maxConnections, isEncrypted }: ServerFacts,
  poolSize: number,
): Finding => {
  const left = maxConnections - connections
  const detail =
    `${connections} of ${maxConnections} in use, one instance takes up to ${poolSize}; ` +
    `this one is ${isEncrypted ? 'encrypted' : 'not encrypted'}`
  return { check: 'connections', status: left < poolSize ? 'warning' : 'ok', detail }
}

const checkClock = (differenceMs: number): Finding => ({
  check: 'clock',
  status: differenceMs > MAX_CLOCK_DIFFERENCE_MS ? 'warning' : 'ok',
  detail: `${differenceMs} ms apart from this machine; the database's counts`,
})

const checkMigrations = async (db: Database): Promise<Finding[]> => {
  const all = await migrationStatus(db)
  const count = (state: string) => all.filter((migration) => migration.state === state)
  const pending = count('pending').map(({ tag }) => tag)
  const changed = count('changed').map(({ tag }) => tag)
  const findings: Finding[] = []
  const applied = `${count('applied').length} applied`
  if (changed.length > 0) {
    const detail = `changed after they were applied: ${changed.join(', ')}`
    findings.push({ check: 'migrations', status: 'failed', detail })
  } else if (pending.length > 0) {
    const detail = `${applied}, pending: ${pending.join(', ')}`
    findings.push({ check: 'migrations', status: 'failed', detail })
  } else {
    findings.push({ check: 'migrations', status: 'ok', detail: applied })
  }
  const unknown = count('unknown').length
  if (unknown > 0) {
    const detail = `${unknown} of a newer version of creditd`
    findings.push({ check: 'version', status: 'warning', detail })
  }
  return findings
}

const checkWrite = async ({ pool }: Database): Promise<Finding> => {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await client.query('create temporary table creditd_check (n int) on commit drop')
    await client.query('insert into creditd_check values (1)')
    return { check: 'write', status: 'ok', detail: 'a write was tried and taken back' }
  } catch (error) {
    return { check: 'write', status: 'failed', detail: (error as Error).message }
  } finally {
    await client.query('rollback').catch(() => {})
    client.release()
  }
}
