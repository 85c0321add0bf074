/** From where on an alert fires, unless a setting says otherwise. */
export const THRESHOLDS = {
  balanceMismatches: 10,
  failurePercent: 5,
  latencyMs: 100,
  errorPercent: 1,
  pendingSeconds: 300,
  databaseSeconds: 30,
  fallbackSeconds: 60,
  redisMemoryPercent: 80,
} as const

export type Thresholds = Readonly<Record<keyof typeof THRESHOLDS, number>>
