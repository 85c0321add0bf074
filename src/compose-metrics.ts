import type { Core } from './compose.js'
import type { Collector } from './http/metrics.js'

/** What the ledger, the jobs and the pools are doing, read whenever somebody looks. */
export const collectorsOf = (core: Core): readonly Collector[] => [
  ...ledgerCollectors(core),
  ...poolCollectors(core),
  pendingCollector(core),
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
