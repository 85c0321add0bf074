import type { BaseLogger } from 'pino'
import type { Deliveries, LocalDeliveries } from './deliveries.js'
import { type Notice, noticeOf } from './notice.js'
import { type Rule, worstOf } from './rules.js'
import { type AlertState, advance, QUIET } from './state.js'
import type { AlertStore, Readings } from './store.js'
import type { Send } from './webhook.js'

export type AlertsDeps = {
  readonly rules: readonly Rule[]
  /** What this process's metrics say now; none when it can not be read. */
  readonly valuesOf: (metric: string) => Promise<readonly number[]>
  readonly store: AlertStore
  readonly deliveries: Deliveries
  readonly localDeliveries: LocalDeliveries
  /** null: changes are logged, and sent nowhere. */
  readonly send: Send | null
  readonly instanceId: string
  readonly newId: () => string
  /** Ms since the epoch, the same for all instances. */
  readonly now: () => number
  readonly log: Pick<BaseLogger, 'info' | 'warn' | 'error'>
}

export type Alerts = {
  /**
   * Reads the metrics and decides what fires. Every instance does it every few seconds: all of
   * them together tell each change once, apart from alerts that are an instance's own.
   */
  evaluate(): Promise<string>
  /** Sends what is due; what fails is tried again later. Safe on any number of instances. */
  deliver(): Promise<string>
  /** As this instance knows it: what fires, by the name of the rule. */
  firing(): ReadonlyMap<string, boolean>
}

/** The alerts of REQUIREMENTS as the service itself evaluates them, without any Prometheus. */
export const createAlerts = (deps: AlertsDeps): Alerts => {
  const { rules, store, now } = deps
  const ownRules = rules.filter(({ scope }) => scope === 'instance')
  const sharedRules = rules.filter(({ scope }) => scope === 'service')
  const states = new Map<string, AlertState>(rules.map(({ name }) => [name, QUIET]))

  const evaluateOwn = (readings: Readings, nowMs: number): readonly Notice[] =>
    ownRules.flatMap((rule) => {
      const before = states.get(rule.name) ?? QUIET
      const { state, change } = advance(rule, before, readings.get(rule.name) ?? null, nowMs)
      states.set(rule.name, state)
      if (change === null) return []
      return [noticeOf(rule, state, { ...deps, id: deps.newId(), status: change })]
    })

  return {
    async evaluate() {
      const own = await read(deps, ownRules)
      const notices = evaluateOwn(own, now())
      // before the database is asked, which may be what is away
      announce(deps, notices)
      if (deps.send !== null) deps.localDeliveries.add(notices, now())
      try {
        const shared = await store.evaluate(sharedRules, await read(deps, sharedRules), now())
        for (const [name, state] of shared.states) states.set(name, state)
        announce(deps, shared.notices)
      } catch (error) {
        const isKnown = ownRules.some(({ name }) => states.get(name)?.status !== 'quiet')
        if (!isKnown) deps.log.warn({ err: error }, 'the alerts could not be evaluated')
      }
      return `${[...states.values()].filter(({ status }) => status === 'firing').length} firing`
    },
    async deliver() {
      const { send } = deps
      if (send === null) return 'nowhere to send to'
      const own = await deliverFrom(deps, send, deps.localDeliveries)
      // without the database there is nothing to be sent of it
      const shared = await deliverFrom(deps, send, deps.deliveries).catch(() => 0)
      return `${own + shared} sent`
    },
    firing: () => new Map([...states].map(([name, { status }]) => [name, status === 'firing'])),
  }
}

const read = async ({ valuesOf }: AlertsDeps, rules: readonly Rule[]): Promise<Readings> =>
  new Map(
    await Promise.all(
      rules.map(async (rule) => {
        const values = await valuesOf(rule.metric)
        return [rule.name, worstOf(rule, values)] as const
      }),
    ),
  )

const announce = ({ log }: AlertsDeps, notices: readonly Notice[]): void => {
  for (const { name, severity, action, status, value, threshold, summary } of notices) {
    const fields = { alert: name, severity, action, value, threshold }
    if (status === 'firing') log.error(fields, `alert: ${summary}`)
    else log.info(fields, 'alert resolved')
  }
}

const deliverFrom = async (
  { log, now }: AlertsDeps,
  send: Send,
  deliveries: Deliveries,
): Promise<number> => {
  const lost = await deliveries.prune(now())
  if (lost > 0) log.error({ lost }, 'changes of alerts were never delivered')
  const due = await deliveries.take(now())
  // together: one receiver that is slow must not take the time of an attempt for each
  const results = await Promise.all(
    due.map(async ({ notice, attempts }) => {
      try {
        await send(notice)
      } catch (error) {
        const reason = error instanceof Error ? error.message : 'it failed'
        log.warn({ alert: notice.name, attempts, reason }, 'an alert could not be delivered')
        return 0
      }
      await deliveries.done(notice)
      return 1
    }),
  )
  return results.reduce<number>((sum, one) => sum + one, 0)
}
