import type { Limit } from './stores/rate-limit/store.js'

/** Every policy, and what it allows unless a setting says otherwise: how many in how long. */
export const POLICIES = {
  payment: '10/1m',
  webhook: '10/1s',
  api: '100/1m',
  auth: '5/15m',
  search: '30/1m',
  booking: '5/5m',
  guestCheckout: '3/5m',
} as const

export type PolicyName = keyof typeof POLICIES
export type Policies = Readonly<Record<PolicyName, Limit>>

export const POLICY_NAMES = Object.keys(POLICIES) as readonly PolicyName[]

/** More is no limit any more. */
export const MAX_UNITS = 1_000_000
/** A day: what is counted longer belongs into a database. */
export const MAX_WINDOW_SECONDS = 86_400

const RATE = /^([1-9]\d{0,6})\/([1-9]\d{0,4})([smh])$/
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 }

export const RATE_FORM =
  `must be a number from 1 to ${MAX_UNITS}, a slash and a time of at most 24h, ` +
  'such as 10/1s, 200/1m or 5000/1h'

/** The limit that a text such as `200/1m` names; null when it names none. */
export const parseRate = (text: string): Limit | null => {
  const [, units, count, unit = ''] = RATE.exec(text) ?? []
  const max = Number(units)
  const windowSeconds = Number(count) * (UNIT_SECONDS[unit] ?? Number.NaN)
  if (!(max <= MAX_UNITS && windowSeconds <= MAX_WINDOW_SECONDS)) return null
  return { max, windowMs: windowSeconds * 1_000 }
}
