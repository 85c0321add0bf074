import { isBeyond, type Rule } from './rules.js'

export type AlertState = {
  readonly status: 'quiet' | 'pending' | 'firing'
  /** Since when the rule holds without a break; of a firing one, since when it did. */
  readonly sinceMs: number | null
  /** Of a firing one: since when the rule no longer holds. */
  readonly clearSinceMs: number | null
  readonly value: number | null
  readonly evaluatedAtMs: number | null
}

export type Change = 'firing' | 'resolved'

export const QUIET: AlertState = {
  status: 'quiet',
  sinceMs: null,
  clearSinceMs: null,
  value: null,
  evaluatedAtMs: null,
}

/** Nobody looked for longer than this: what held before may not have held in between. */
const MAX_GAP_MS = 2 * 60_000

/**
 * What a value, read now, makes of an alert; null: it could not be read, and what was known
 * stays. Pure; the change is told once, in the step in which it happens.
 */
export const advance = (
  rule: Rule,
  before: AlertState,
  value: number | null,
  nowMs: number,
): { readonly state: AlertState; readonly change: Change | null } => {
  if (value === null) return { state: before, change: null }
  const seen = { ...before, value, evaluatedAtMs: nowMs }
  return isBeyond(rule, value)
    ? held(rule, seen, before, nowMs)
    : cleared(rule, seen, before, nowMs)
}

const held = (rule: Rule, seen: AlertState, before: AlertState, nowMs: number) => {
  if (seen.status === 'firing') return { state: { ...seen, clearSinceMs: null }, change: null }
  const isUnbroken = seen.sinceMs !== null && !hasGap(before, nowMs)
  const sinceMs = isUnbroken ? (seen.sinceMs ?? nowMs) : nowMs
  const isDue = nowMs - sinceMs >= rule.forMs
  const status = isDue ? ('firing' as const) : ('pending' as const)
  return { state: { ...seen, status, sinceMs }, change: isDue ? ('firing' as const) : null }
}

const cleared = (rule: Rule, seen: AlertState, before: AlertState, nowMs: number) => {
  if (seen.status !== 'firing')
    return { state: { ...seen, status: 'quiet' as const, sinceMs: null }, change: null }
  const isUnbroken = seen.clearSinceMs !== null && !hasGap(before, nowMs)
  const clearSinceMs = isUnbroken ? (seen.clearSinceMs ?? nowMs) : nowMs
  if (nowMs - clearSinceMs < rule.keepFiringMs)
    return { state: { ...seen, clearSinceMs }, change: null }
  const { value, evaluatedAtMs } = seen
  return { state: { ...QUIET, value, evaluatedAtMs }, change: 'resolved' as const }
}

const hasGap = ({ evaluatedAtMs }: AlertState, nowMs: number): boolean =>
  evaluatedAtMs !== null && nowMs - evaluatedAtMs > MAX_GAP_MS
