import type { BaseLogger } from 'pino'
import { AppError, hasCode } from '../../errors.js'
import {
  type FactOutcome,
  type PaymentFact,
  PROVIDER_NAMES,
  type ProviderName,
  type TakeFact,
} from '../../payment-facts.js'
import type { PaymentProvider, ProviderEvent } from '../providers/provider.js'
import type { Claimed, InboxStore } from './store.js'

/** Events of one provider worked on at once in one instance: each may wait for its provider. */
const MAX_WORKERS = 4
/** How long an end waits for them; what is cut off comes again when its lease has ended. */
const CLOSE_GRACE_MS = 5_000

export type InboxLog = Pick<BaseLogger, 'info' | 'warn' | 'error'>

export type WorkerDeps = {
  readonly store: InboxStore
  readonly providers: ReadonlyMap<ProviderName, Pick<PaymentProvider, 'factsOf'>>
  readonly takeFact: TakeFact
  /** Ms since the epoch. */
  readonly now: () => number
  readonly log: InboxLog
}

export type Worker = {
  /** Works on what is due until nothing is; gives how many it worked on. Safe to run anywhere. */
  work(signal?: AbortSignal): Promise<number>
  /** Says that something is due. Returns at once. */
  wake(): void
  /** Takes on nothing new, and waits for what is under way. */
  close(): Promise<void>
}

/** Each provider has workers of its own, so that one that hangs holds up no other's events. */
export function createWorker(deps: WorkerDeps): Worker {
  const lanes = PROVIDER_NAMES.map((provider) => createLane(deps, provider))
  return {
    async work(signal) {
      const counts = await Promise.all(lanes.map((lane) => lane.work(signal)))
      return counts.reduce((sum, count) => sum + count, 0)
    },
    wake() {
      for (const lane of lanes) lane.wake()
    },
    async close() {
      const ends = lanes.map((lane) => lane.close())
      let timer: NodeJS.Timeout | undefined
      const grace = new Promise((resolve) => {
        timer = setTimeout(resolve, CLOSE_GRACE_MS)
      })
      await Promise.race([Promise.all(ends), grace])
      clearTimeout(timer)
    },
  }
}

/** The workers of one provider; they rest when it is away, until they are woken or called again. */
function createLane(deps: WorkerDeps, provider: ProviderName): Worker {
  const { store, log } = deps
  const running = new Set<Promise<unknown>>()
  let isClosed = false
  let isWoken = false

  async function work(signal?: AbortSignal): Promise<number> {
    for (let count = 0; ; count += 1) {
      if (isClosed || signal?.aborted) return count
      const claimed = await store.claim(provider)
      if (claimed === null) return count
      const { isAway } = await workOn(deps, claimed)
      if (isAway) return count + 1
    }
  }

  /** Somebody may have called when this one had looked for the last time. */
  async function workWhileWoken(): Promise<void> {
    do {
      isWoken = false
      await work()
    } while (isWoken && !isClosed)
  }

  return {
    work,
    wake() {
      isWoken = true
      if (isClosed || running.size >= MAX_WORKERS) return
      const run = workWhileWoken()
        .catch((error) => log.warn({ err: error }, 'events of payments wait: they come again'))
        .finally(() => running.delete(run))
      running.add(run)
    },
    async close() {
      isClosed = true
      await Promise.all(running)
    },
  }
}

type Verdict =
  | {
      readonly kind: 'done'
      readonly outcome: 'applied' | 'ignored'
      readonly reason: string | null
    }
  | {
      readonly kind: 'later' | 'never'
      readonly reason: string
      /** Whether the provider could not be reached. */
      readonly isAway?: boolean
    }

async function workOn(deps: WorkerDeps, claimed: Claimed): Promise<{ readonly isAway: boolean }> {
  const verdict = await judge(deps, claimed)
  await keep(deps, claimed, verdict)
  return { isAway: verdict.kind === 'later' && verdict.isAway === true }
}

async function keep(deps: WorkerDeps, claimed: Claimed, verdict: Verdict): Promise<void> {
  const { store, now, log } = deps
  const { id, provider, event, attempts } = claimed
  const about = { inboxId: id, provider, eventId: event.id, type: event.type, attempts }
  if (verdict.kind === 'done') return store.finish(id, verdict.outcome, verdict.reason)
  const { reason } = verdict
  if (verdict.kind === 'never' || now() >= claimed.retryUntilMs) {
    log.error({ ...about, reason }, 'an event of a payment is dead: it needs somebody to look')
    return store.bury(claimed, reason)
  }
  log.info({ ...about, reason }, 'an event of a payment waits')
  return store.retry(claimed, reason)
}

async function judge(deps: WorkerDeps, claimed: Claimed): Promise<Verdict> {
  const { event, body } = claimed
  const provider = deps.providers.get(claimed.provider)
  if (!provider) return { kind: 'later', reason: `${claimed.provider} is not configured` }
  try {
    const payload = JSON.parse(body.toString()) as ProviderEvent['payload']
    const facts = await provider.factsOf({ ...event, payload })
    const outcomes: FactOutcome[] = []
    for (const fact of facts) outcomes.push(await deps.takeFact(fact))
    return verdictOf(facts, outcomes)
  } catch (error) {
    if (hasCode(error, 'invalid_request')) return { kind: 'never', reason: error.message }
    if (!(error instanceof AppError)) {
      deps.log.error({ err: error, eventId: event.id }, 'an event of a payment failed')
    }
    const isAway = hasCode(error, 'provider_unavailable')
    return { kind: 'later', reason: error instanceof Error ? error.message : String(error), isAway }
  }
}

/** What still waits comes before what will never be, which is then found again. */
function verdictOf(facts: readonly PaymentFact[], outcomes: readonly FactOutcome[]): Verdict {
  const reasonOf = (kind: FactOutcome['kind']) =>
    outcomes
      .flatMap((outcome) => (outcome.kind === kind && 'reason' in outcome ? [outcome.reason] : []))
      .join('; ')
  const has = (kind: FactOutcome['kind']) => outcomes.some((outcome) => outcome.kind === kind)
  if (has('parked')) return { kind: 'later', reason: reasonOf('parked') }
  if (has('refused')) return { kind: 'never', reason: reasonOf('refused') }
  if (has('applied')) return { kind: 'done', outcome: 'applied', reason: null }
  const reason = facts.length === 0 ? 'it tells nothing that concerns us' : reasonOf('ignored')
  return { kind: 'done', outcome: 'ignored', reason }
}
