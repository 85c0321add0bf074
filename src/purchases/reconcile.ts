import type { BaseLogger } from 'pino'
import { hasCode } from '../errors.js'
import type { PaymentFact, ProviderName, TakeFact } from '../payment-facts.js'
import type { PaymentProvider } from './providers/provider.js'
import type { ReconcileStore } from './reconcile-store.js'

const DAY_MS = 24 * 3_600_000
/** Providers list what they had not quite finished a little late. */
const OVERLAP_MS = DAY_MS
/** Longer than any provider goes on sending an event. */
export const FARTHEST_BACK_MS = 35 * DAY_MS
/** Younger ones are most likely being paid for just now. */
const LEAST_AGE_MS = 3_600_000
/** Whatever fails this often is no matter of single facts. */
const MAX_FAILURES = 20
/** Their lists go by when a thing began, so what becomes of it later is asked for. */
const LIST_BEGINNINGS: readonly ProviderName[] = ['stripe']

export type ProviderReport = {
  readonly provider: ProviderName
  /** Facts that the provider told. */
  readonly lookedAt: number
  /** Those that were news: an event of theirs was lost. */
  readonly repaired: number
  /** Those that contradict what was sold, and purchases that the provider would not tell of. */
  readonly refused: number
  /** Those about something that is not known here. */
  readonly parked: number
  /** Why it was not looked at to the end; null: it was. */
  readonly error: string | null
}

export type ReconcileDeps = {
  /** Those that can be asked. */
  readonly providers: ReadonlyMap<ProviderName, Pick<PaymentProvider, 'fetch' | 'list'>>
  readonly takeFact: TakeFact
  readonly store: ReconcileStore
  /** Something that changes when the ledger of an account does; null: there is no such account. */
  readonly markOfAccount: (accountId: string) => Promise<string | null>
  /** Ms since the epoch. */
  readonly now: () => number
  readonly log: Pick<BaseLogger, 'info' | 'warn' | 'error'>
}

export type Reconcile = (range: {
  /** From when on a provider's list is read. */
  readonly sinceMs: (provider: ProviderName) => number
  /** Only those; without it all. */
  readonly only?: readonly ProviderName[]
  readonly signal?: AbortSignal | undefined
}) => Promise<readonly ProviderReport[]>

/** From when on to look, given when it was last looked at to the end. */
export const sinceOf = (lastMs: number | null, nowMs: number): number =>
  Math.max((lastMs ?? 0) - OVERLAP_MS, nowMs - FARTHEST_BACK_MS)

/**
 * Compares what the providers have with what is here: asks for every purchase that something is
 * still to be heard of, goes through the provider's own list, and asks again for what was refunded
 * or disputed where the list does not tell how that ended; each fact is taken as if its
 * event had just come. So what lost events left undone is done, and what is done stays as it is.
 * A provider that fails does not keep the others from being looked at; its report says why. Safe
 * to repeat, and to run beside anything else.
 */
export const createProviderReconcile =
  (deps: ReconcileDeps): Reconcile =>
  ({ sinceMs, only, signal }) =>
    Promise.all(
      [...deps.providers]
        .filter(([name]) => only?.includes(name) ?? true)
        .map(([name, provider]) => look(deps, { name, provider, sinceMs: sinceMs(name), signal })),
    )

type Part = {
  readonly name: ProviderName
  readonly provider: Pick<PaymentProvider, 'fetch' | 'list'>
  readonly sinceMs: number
  readonly signal: AbortSignal | undefined
}

type Counts = {
  lookedAt: number
  repaired: number
  refused: number
  parked: number
  failed: number
}

const look = async (deps: ReconcileDeps, part: Part): Promise<ProviderReport> => {
  const counts: Counts = { lookedAt: 0, repaired: 0, refused: 0, parked: 0, failed: 0 }
  const error = await lookAt(deps, part, counts).then(
    () => null,
    (reason: unknown) => {
      deps.log.warn({ err: reason, provider: part.name }, 'a provider was not looked at to the end')
      return reason instanceof Error ? reason.message : String(reason)
    },
  )
  const { failed, ...told } = counts
  const failure = failed === 0 ? null : `${failed} facts could not be taken`
  return { provider: part.name, ...told, error: error ?? failure }
}

const lookAt = async (deps: ReconcileDeps, part: Part, counts: Counts): Promise<void> => {
  const { name, provider, sinceMs, signal } = part
  await ask(deps, part, { of: await deps.store.open(name, deps.now() - LEAST_AGE_MS), counts })
  for await (const facts of provider.list(sinceMs)) {
    signal?.throwIfAborted()
    await takeAll(deps, facts, counts)
  }
  if (!LIST_BEGINNINGS.includes(name)) return
  await ask(deps, part, { of: await deps.store.unsettled(name, deps.now()), counts })
}

const ask = async (
  deps: ReconcileDeps,
  part: Part,
  { of, counts }: { readonly of: readonly Open[]; readonly counts: Counts },
): Promise<void> => {
  for (const purchase of of) {
    part.signal?.throwIfAborted()
    await takeAll(deps, await fetchOf(deps, part, purchase, counts), counts)
  }
}

type Open = Awaited<ReturnType<ReconcileStore['open']>>[number]

/** One that the provider will not tell of must not hide the others. */
const fetchOf = async (
  { log }: ReconcileDeps,
  { name, provider }: Part,
  purchase: Open,
  counts: Counts,
): Promise<readonly PaymentFact[]> => {
  try {
    return await provider.fetch(purchase)
  } catch (error) {
    if (!hasCode(error, 'provider_refused')) throw error
    counts.refused++
    log.warn({ err: error, provider: name, ...purchase }, 'a provider will not tell of a purchase')
    return []
  }
}

const takeAll = async (
  deps: ReconcileDeps,
  facts: readonly PaymentFact[],
  counts: Counts,
): Promise<void> => {
  for (const fact of facts) {
    try {
      await take(deps, fact, counts)
    } catch (error) {
      counts.failed++
      if (counts.failed >= MAX_FAILURES) throw error
      deps.log.error({ err: error, ...about(fact) }, 'what a provider tells could not be taken')
    }
  }
}

const take = async (deps: ReconcileDeps, fact: PaymentFact, counts: Counts): Promise<void> => {
  const before = await markOf(deps, fact)
  const outcome = await deps.takeFact(fact)
  counts.lookedAt++
  if (outcome.kind === 'refused' || outcome.kind === 'parked') {
    counts[outcome.kind]++
    const { kind, reason } = outcome
    deps.log.warn({ ...about(fact), outcome: kind, reason }, 'a provider tells what does not fit')
  }
  if (outcome.kind !== 'applied' || (await markOf(deps, fact)) === before) return
  counts.repaired++
  deps.log.warn(about(fact), 'an event of a provider was lost, and what it told is made up for')
}

const markOf = ({ store, markOfAccount }: ReconcileDeps, fact: PaymentFact) => {
  if (fact.kind === 'checkout' || fact.kind === 'reversal') return store.markOf(fact)
  return fact.kind === 'subscription_paid' && fact.accountId !== null
    ? markOfAccount(fact.accountId)
    : Promise.resolve(null)
}

const about = (fact: PaymentFact) => {
  const { provider, kind } = fact
  if (fact.kind === 'checkout') {
    const { purchaseId, checkoutId, paymentId } = fact
    return { provider, kind, purchaseId, checkoutId, paymentId }
  }
  if (fact.kind === 'reversal') {
    return { provider, kind, purchaseId: fact.purchaseId, paymentId: fact.paymentId }
  }
  return { provider, kind, subscriptionId: fact.subscriptionId }
}
