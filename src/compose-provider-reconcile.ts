import { randomUUID } from 'node:crypto'
import type { Core } from './compose.js'
import { composePlans } from './compose-plans.js'
import {
  type ComposedPurchases,
  composePurchases,
  type PurchasesCore,
} from './compose-purchases.js'
import { type FactTakers, takeEither } from './compose-webhooks.js'
import { createRunHistory } from './jobs/history.js'
import type { ProviderName } from './payment-facts.js'
import { createProviderReconcile, type ProviderReport, sinceOf } from './purchases/reconcile.js'
import { createReconcileStore } from './purchases/reconcile-store.js'
import { createGuests } from './sessions/guests.js'

export const PROVIDER_RECONCILE_JOB = 'purchases.reconcile'
/** A provider with fifty thousand payments is asked some thousand times. */
const TIMEOUT_MS = 50 * 60_000
/** A night's later runs are for what could not be looked at in its first. */
const DONE_FOR_MS = 12 * 3_600_000
const MAX_REASON_LENGTH = 120

export type ProviderReconcileDeps = Pick<ComposedPurchases, 'providers'> & {
  readonly takers: FactTakers
}

export type LookAtProviders = (range?: {
  /** From when on; without it since the last time, and a day more. */
  readonly sinceMs?: number | null
  /** Whether those are left out that were looked at this night. */
  readonly isDueOnly?: boolean
  readonly signal?: AbortSignal
}) => Promise<readonly ProviderReport[]>

/** Compares what the payment providers have with what is here; safe to repeat. */
export const composeLookAtProviders = (
  { db, ledger, now, log }: Pick<Core, 'db' | 'ledger' | 'now' | 'log'>,
  { providers, takers }: ProviderReconcileDeps,
): LookAtProviders => {
  const asked: readonly ProviderName[] = providers.sellers.filter((name) => name !== 'manual')
  const reconcile = createProviderReconcile({
    providers: new Map([...providers.byName].filter(([name]) => asked.includes(name))),
    takeFact: takeEither(takers),
    store: createReconcileStore(db.readOrm),
    markOfAccount: async (id) => {
      const state = await ledger.read(id)
      return state && `${state.seq}`
    },
    now,
    log,
  })
  const history = createRunHistory(db.orm)
  const lastOf = async (name: ProviderName) =>
    history.lastStart(PROVIDER_RECONCILE_JOB, `%${doneMark(name)}%`)
  return async ({ sinceMs = null, isDueOnly = false, signal } = {}) => {
    const startedAtMs = now()
    const last = new Map(
      await Promise.all(asked.map(async (name) => [name, await lastOf(name)] as const)),
    )
    const isDue = (name: ProviderName) => startedAtMs - (last.get(name) ?? 0) >= DONE_FOR_MS
    return reconcile({
      sinceMs: (name) => sinceMs ?? sinceOf(last.get(name) ?? null, startedAtMs),
      only: isDueOnly ? asked.filter(isDue) : asked,
      signal,
    })
  }
}

/** Adds the nightly job; it is done again by the hour for a provider that could not be asked. */
export const composeProviderReconcile = (core: Core, deps: ProviderReconcileDeps): void => {
  const look = composeLookAtProviders(core, deps)
  core.jobs.add({
    name: PROVIDER_RECONCILE_JOB,
    cron: '13 2-5 * * *',
    timeoutMs: TIMEOUT_MS,
    async run(signal) {
      const reports = await look({ isDueOnly: true, signal })
      const outcome = outcomeOf(reports)
      if (reports.some(({ error }) => error !== null)) throw new Error(outcome)
      return outcome
    },
  })
}

/**
 * The same for an operator's command. With `sinceMs` it looks back that far; without it, it is one
 * of the runs of the job, and the next one goes on from there.
 */
export const lookAtProvidersOnce = async (
  given: Omit<PurchasesCore, 'jobs' | 'newId' | 'now'> & { readonly ledger: Core['ledger'] },
  sinceMs: number | null,
): Promise<readonly ProviderReport[]> => {
  const { now } = given.ledger
  const core = { ...given, now, newId: randomUUID, jobs: { add() {} } }
  const { payeeOf } = createGuests({ orm: core.db.orm, now })
  const purchases = composePurchases(core, { payeeOf, emailOf: async () => null })
  const plans = composePlans(core, { payeeOf })
  const takers = { purchases: purchases.takeFact, plans: plans.takeFact }
  const look = composeLookAtProviders(core, { takers, providers: purchases.providers })
  const startedAtMs = now()
  const reports = await look({ sinceMs })
  if (sinceMs === null && reports.length > 0) await noteLook(core, startedAtMs, reports)
  return reports
}

/** Notes a look beside the schedule, so that the next one goes on from there. */
export const noteLook = async (
  { db, now }: Pick<Core, 'db' | 'now'>,
  startedAtMs: number,
  reports: readonly ProviderReport[],
): Promise<void> => {
  const run = { name: PROVIDER_RECONCILE_JOB, startedAtMs, finishedAtMs: now() }
  await createRunHistory(db.orm).note({ ...run, outcome: outcomeOf(reports) })
}

/** How a run says that a provider was looked at to the end; the next one looks for it. */
const doneMark = (name: ProviderName): string => `${name} done:`

const outcomeOf = (reports: readonly ProviderReport[]): string =>
  reports.length === 0 ? 'nothing to look at' : reports.map(lineOf).join('; ')

const lineOf = ({ provider, error, lookedAt, repaired, refused, parked }: ProviderReport) => {
  const counts = `${lookedAt} looked at, ${repaired} repaired, ${refused} refused, ${parked} parked`
  return error === null
    ? `${doneMark(provider)} ${counts}`
    : `${provider} failed: ${error.slice(0, MAX_REASON_LENGTH)}, ${counts}`
}
