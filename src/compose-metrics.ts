import type { Core } from './compose.js'
import type { Collector } from './http/metrics.js'

/** What the ledger, the jobs and the pools are doing, read whenever somebody looks. */
export const collectorsOf = (core: Core): readonly Collector[] => [
  ...ledgerCollectors(core),
  ...poolCollectors(core),
  pendingCollector(core),
  databaseCollector(core),
]

const ledgerCollectors = ({ ledger, jobs }: Core): readonly Collector[] => [
  {
    name: 'creditd_ledger_queued_operations',
    help: 'Operations that wait for a batch',
    read: () => ledger.stats().queued,
  },
  {
    name: 'creditd_ledger_operations_in_flight',
    help: 'Operations accepted and not yet answered',
    read: () => ledger.stats().inFlight,
  },
  {
    name: 'creditd_ledger_cached_accounts',
    help: 'Accounts whose state is kept between batches',
    read: () => ledger.stats().cachedAccounts,
  },
  {
    name: 'creditd_ledger_lanes',
    help: 'Batches of the ledger that can be in flight at once',
    read: () => ledger.stats().lanes,
  },
  {
    name: 'creditd_ledger_lanes_busy',
    help: 'Lanes of the ledger with a batch in flight',
    read: () => ledger.stats().lanesBusy,
  },
  {
    name: 'creditd_jobs_failing',
    help: 'Jobs whose last run on this instance failed',
    read: () => jobs.lastRuns().filter(({ hasFailed }) => hasFailed).length,
  },
]

/** A transfer that has not reached its other side; a moment is usual, minutes are not. */
const pendingCollector = ({ db }: Core): Collector => ({
  name: 'creditd_pending_work_oldest_seconds',
  help: 'Age of the oldest piece of work that a write left to be finished; 0 without any',
  async read() {
    const { rows } = await db.pool.query<{ seconds: string }>(
      `select coalesce(extract(epoch from now() - min(created_at)), 0) as seconds
         from pending_work`,
    )
    return Math.max(0, Number(rows[0]?.seconds ?? 0))
  },
})

/** Less than a reader of the metrics waits for a figure. */
const PROBE_TIMEOUT_MS = 800

const databaseCollector = ({ db }: Core): Collector => ({
  name: 'creditd_database_up',
  help: 'Whether the database answered just now: 1 or 0',
  async read() {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<number>((resolve) => {
      timer = setTimeout(() => resolve(0), PROBE_TIMEOUT_MS)
    })
    const probe = db.pool.query('select 1').then(
      () => 1,
      () => 0,
    )
    const isUp = await Promise.race([probe, timeout])
    clearTimeout(timer)
    return isUp
  },
})

const poolCollectors = ({ db, ledgerPool }: Core): readonly Collector[] => {
  const pools = [
    ['shared', db.pool],
    ['ledger', ledgerPool],
  ] as const
  return pools.flatMap(([name, pool]) => [
    {
      name: `creditd_pool_${name}_connections`,
      help: `Open connections of the ${name} pool`,
      read: () => pool.totalCount,
    },
    {
      name: `creditd_pool_${name}_idle`,
      help: `Connections of the ${name} pool that nobody uses`,
      read: () => pool.idleCount,
    },
    {
      name: `creditd_pool_${name}_waiting`,
      help: `Callers that wait for a connection of the ${name} pool`,
      read: () => pool.waitingCount,
    },
  ])
}
