import { conditionOf, type Rule, rulesOf } from '../alerts/rules.js'
import { type AlertState, QUIET } from '../alerts/state.js'
import { readStates } from '../alerts/store.js'
import { withDatabase } from '../compose-command.js'
import type { Config } from '../config.js'
import { explain } from '../explain.js'
import { command, json, show, warn } from './command.js'

/** The service looks every 15 s: after this long nobody is looking. */
const STALE_MS = 2 * 60_000

type Found = {
  readonly name: string
  readonly severity: Rule['severity']
  readonly action: Rule['action']
  /** `unknown`: nobody has looked of late, and it did not fire before. */
  readonly status: AlertState['status'] | 'unknown'
  readonly value: number | null
  readonly threshold: number
  readonly beyond: Rule['beyond']
  /** false: what the rule is about is not configured here, and nobody has looked at it. */
  readonly applies: boolean
  readonly since: string | null
}

export const alertsCommand = command(
  'List the alerts as the service has them; exits with 1 while a critical one fires',
  { json },
  async ({ args, config }) => {
    const found = await lookAt(config)
    const isWell = !found.some(
      ({ severity, status }) => severity === 'critical' && status === 'firing',
    )
    const unknown = found.filter(({ status }) => status === 'unknown')
    if (unknown.length > 0) {
      warn(`no running service has looked at ${unknown.map(({ name }) => name).join(', ')} lately`)
    }
    show({ ok: isWell, alerts: found }, found.map(lineOf), args.json)
    return isWell
  },
)

const lookAt = async (config: Config): Promise<readonly Found[]> => {
  const rules = rulesOf(config.alerts.thresholds)
  const database = rules.filter(({ scope }) => scope === 'instance')
  const shared = rules.filter(({ scope }) => scope === 'service')
  const hasRedis = Object.values(config.redis.targets).some((target) => target !== null)
  const missing = hasRedis ? null : 'redis'
  try {
    const states = await withDatabase(config, readStates)
    const isUp = { ...QUIET, value: 1, evaluatedAtMs: Date.now() }
    return [
      ...database.map((rule) => foundOf(rule, isUp, missing)),
      ...shared.map((rule) => foundOf(rule, states.get(rule.name) ?? QUIET, missing)),
    ]
  } catch (error) {
    warn(explain(error))
    const nowMs = Date.now()
    const isDown = { ...QUIET, status: 'firing', value: 0, sinceMs: nowMs } as const
    return [
      ...database.map((rule) => foundOf(rule, isDown, missing)),
      ...shared.map((rule) => foundOf(rule, QUIET, missing)),
    ]
  }
}

const foundOf = (rule: Rule, state: AlertState, missing: Rule['needs']): Found => {
  // what fired when the service was last seen has not been found to be over
  const isUnknown = Date.now() - (state.evaluatedAtMs ?? 0) > STALE_MS && state.status !== 'firing'
  // a service may be configured otherwise than whoever asks: what it has seen counts
  const applies = !isUnknown || missing === null || rule.needs !== missing
  return {
    name: rule.name,
    severity: rule.severity,
    action: rule.action,
    status: !applies ? 'quiet' : isUnknown ? 'unknown' : state.status,
    value: applies ? state.value : null,
    threshold: rule.threshold,
    beyond: rule.beyond,
    applies,
    since: state.sinceMs === null ? null : new Date(state.sinceMs).toISOString(),
  }
}

const lineOf = (found: Found): string => {
  const { name, severity, status, value, applies, since } = found
  const shown = status === 'firing' ? 'FIRING ' : status.padEnd(7)
  const figures = applies ? `${value ?? '-'}, ${conditionOf(found)}` : '-, not applicable'
  const line = `${shown}  ${severity.padEnd(8)}  ${name.padEnd(26)}  ${figures}`
  return since === null ? line : `${line}  since ${since}`
}
