const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS

/** After each failed attempt; the one after the last is given up. Three days in all. */
export const PAUSES_MS: readonly number[] = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
]

/** So that what failed together does not come again together. */
const JITTER = 0.1
/** No receiver makes us wait longer for one event. */
const MAX_RETRY_AFTER_MS = 24 * HOUR_MS
/** And none longer with all that it is to get. */
const MAX_ENDPOINT_PAUSE_MS = HOUR_MS

/**
 * How long to wait after an attempt has failed, `attempts` of them by now; null: no more. Never
 * less than what the receiver asked for, within reason. `random` is in [0, 1).
 */
export function pauseAfter(
  attempts: number,
  retryAfterMs: number | null,
  random: number,
): number | null {
  const pauseMs = PAUSES_MS[attempts - 1]
  if (pauseMs === undefined) return null
  const jittered = pauseMs * (1 + JITTER * (2 * random - 1))
  return Math.round(Math.max(jittered, Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)))
}

/** How long the whole endpoint is left alone when it asked for a pause. */
export const endpointPause = (retryAfterMs: number): number =>
  Math.min(retryAfterMs, MAX_ENDPOINT_PAUSE_MS)

/** The pause that a Retry-After header asks for: seconds, or a date; null: none that is clear. */
export function retryAfterOf(header: string | undefined, nowMs: number): number | null {
  if (header === undefined) return null
  if (/^\d{1,9}$/.test(header)) return Number(header) * SECOND_MS
  const atMs = Date.parse(header)
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs)
}
