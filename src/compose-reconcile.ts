import type { Core } from './compose.js'
import type { Metrics } from './http/metrics.js'
import { createRunHistory } from './jobs/history.js'
import { type Verification, verify } from './ledger/verify.js'

const JOB = 'ledger.reconcile'
const TIMEOUT_MS = 10 * 60_000

export type Reconcile = (accountId: string | null, signal?: AbortSignal) => Promise<Verification>

/**
 * Looks at all books by the hour, and at any time when asked. What the last look at all of them
 * found, by whichever instance, is a metric of every instance.
 */
export const composeReconcile = (core: Core, metrics: Metrics): Reconcile => {
  const { jobs, log, now } = core
  const history = createRunHistory(core.db.orm)
  const look: Reconcile = (accountId, signal) =>
    verify(core.maintenanceReader, accountId, { signal })
  jobs.add({
    name: JOB,
    cron: '41 * * * *',
    timeoutMs: TIMEOUT_MS,
    async run(signal) {
      const found = await look(null, signal)
      if (found.mismatches.length > 0) {
        log.error({ mismatches: found.mismatches }, 'the books do not agree')
      }
      return outcomeOf(found)
    },
  })
  metrics.collect([
    {
      name: 'credit_balance_mismatches',
      help: 'What the last reconciliation of all accounts found, in any instance; 0 before any',
      read: async () => mismatchesIn(await history.lastOutcome(JOB, '% mismatches')),
    },
    {
      name: 'credit_balance_accuracy',
      help: 'Share of accounts whose books agreed at the last reconciliation of all; 1 before any',
      read: async () => accuracyIn(await history.lastOutcome(JOB, '% mismatches')),
    },
  ])
  return async (accountId, signal) => {
    const startedAtMs = now()
    const found = await look(accountId, signal)
    if (accountId !== null) return found
    const run = { name: JOB, startedAtMs, finishedAtMs: now(), outcome: outcomeOf(found) }
    await history
      .note(run)
      .catch((error) => log.warn({ err: error, job: JOB }, 'a run could not be recorded'))
    return found
  }
}

const outcomeOf = ({ accounts, mismatches }: Verification): string => {
  const differing = new Set(mismatches.map(({ accountId }) => accountId)).size
  return `${accounts} accounts, ${differing} differ, ${mismatches.length} mismatches`
}

const mismatchesIn = (outcome: string | null): number =>
  Number(/(\d+) mismatches$/.exec(outcome ?? '')?.[1] ?? 0)

/** What is owned by no account differs too, so that there may be more of them than accounts. */
const accuracyIn = (outcome: string | null): number => {
  const [, accounts = 0, differing = 0] =
    /^(\d+) accounts, (\d+) differ,/.exec(outcome ?? '')?.map(Number) ?? []
  if (differing === 0) return 1
  return accounts === 0 ? 0 : Math.max(0, 1 - differing / accounts)
}
