import type { Thresholds } from '../thresholds.js'

/**
 * One rule, for Prometheus and for the service alike. It holds while the worst value that any
 * instance tells is beyond the threshold.
 */
export type Rule = {
  readonly name: string
  readonly severity: 'critical' | 'high' | 'medium'
  readonly action: 'page_oncall' | 'email_team'
  /** A gauge of /metrics. */
  readonly metric: string
  readonly beyond: 'above' | 'below'
  readonly threshold: number
  /** How long it must hold before the alert fires: a blip wakes nobody. */
  readonly forMs: number
  /** How long it must no longer hold before the alert is resolved, so that it does not flap. */
  readonly keepFiringMs: number
  /** `instance`: each decides for itself, as there is nothing to agree through. */
  readonly scope: 'service' | 'instance'
  /** What there must be for the gauge to have a value; null: it always has one in the end. */
  readonly needs: 'redis' | null
  readonly summary: string
}

const MINUTE_MS = 60_000

/** All rules. alerts.yaml is made from these by `npm run alerts`. */
export const rulesOf = (thresholds: Thresholds): readonly Rule[] => [
  ...moneyRules(thresholds),
  ...apiRules(thresholds),
  ...upkeepRules(thresholds),
  ...redisRules(thresholds),
]

const moneyRules = ({ balanceMismatches, failurePercent }: Thresholds): readonly Rule[] => [
  {
    ...COMMON,
    name: 'credit_balance_mismatch',
    severity: 'critical',
    action: 'page_oncall',
    metric: 'credit_balance_mismatches',
    threshold: balanceMismatches,
    forMs: 0,
    summary: 'The last reconciliation found accounts whose books do not agree',
  },
  {
    ...COMMON,
    name: 'transaction_failure_rate',
    metric: 'transaction_failure_rate',
    threshold: failurePercent / 100,
    summary: 'Ledger writes of the last hour failed on an instance',
  },
]

const apiRules = ({ latencyMs, errorPercent }: Thresholds): readonly Rule[] => [
  {
    ...COMMON,
    name: 'api_latency',
    metric: 'api_response_time',
    threshold: latencyMs / 1000,
    forMs: 2 * MINUTE_MS,
    summary: 'One API call in twenty is slow on an instance',
  },
  {
    ...COMMON,
    name: 'api_error_rate',
    metric: 'api_error_rate',
    threshold: errorPercent / 100,
    summary: 'API calls of the last five minutes failed on an instance',
  },
]

const upkeepRules = ({ pendingSeconds, databaseSeconds }: Thresholds): readonly Rule[] => [
  {
    ...COMMON,
    name: 'database_unavailable',
    severity: 'critical',
    action: 'page_oncall',
    metric: 'creditd_database_up',
    beyond: 'below',
    threshold: 1,
    forMs: databaseSeconds * 1000,
    scope: 'instance',
    summary: 'An instance can not reach the database: it can not take writes',
  },
  {
    ...COMMON,
    name: 'pending_work_stuck',
    metric: 'creditd_pending_work_oldest_seconds',
    threshold: pendingSeconds,
    forMs: 0,
    summary: 'A transfer has not reached its other side',
  },
  {
    ...COMMON,
    name: 'jobs_failing',
    severity: 'medium',
    metric: 'creditd_jobs_failing',
    threshold: 0,
    forMs: 15 * MINUTE_MS,
    summary: 'A scheduled job fails again and again',
  },
]

/** Of a service without Redis there is nothing to read, and so nothing fires. */
const redisRules = (thresholds: Thresholds): readonly Rule[] => [
  {
    ...COMMON,
    name: 'redis_fallback',
    metric: 'creditd_store_fallback',
    threshold: 0,
    forMs: thresholds.fallbackSeconds * 1000,
    summary: 'An instance does without Redis: its limits, sessions and cache are its own',
  },
  {
    ...COMMON,
    name: 'redis_memory',
    needs: 'redis',
    metric: 'creditd_redis_memory_ratio',
    threshold: thresholds.redisMemoryPercent / 100,
    summary: 'Redis has used most of its memory',
  },
  {
    ...COMMON,
    name: 'redis_errors',
    needs: 'redis',
    metric: 'creditd_redis_error_ratio',
    threshold: thresholds.errorPercent / 100,
    summary: 'Commands to Redis fail, or have no answer in time',
  },
]

const COMMON = {
  severity: 'high',
  action: 'email_team',
  beyond: 'above',
  forMs: MINUTE_MS,
  keepFiringMs: MINUTE_MS,
  scope: 'service',
  needs: null,
} as const

/** The worst of the values that a rule is about; null when there is none. */
export const worstOf = (
  { beyond }: Pick<Rule, 'beyond'>,
  values: readonly number[],
): number | null => {
  if (values.length === 0) return null
  return beyond === 'above' ? Math.max(...values) : Math.min(...values)
}

export const isBeyond = ({ beyond, threshold }: Rule, value: number): boolean =>
  beyond === 'above' ? value > threshold : value < threshold

/** When the rule holds, for people. */
export const conditionOf = ({ beyond, threshold }: Pick<Rule, 'beyond' | 'threshold'>): string =>
  `fires ${beyond} ${threshold}`

/** The rule as PromQL; it says the same as `worstOf` and `isBeyond`. */
export const expressionOf = ({ metric, beyond, threshold }: Rule): string =>
  beyond === 'above' ? `max(${metric}) > ${threshold}` : `min(${metric}) < ${threshold}`
