/** At most `max` units within any `windowMs`, wherever the window begins. */
export type Limit = {
  /** 1 to 1,000,000. */
  readonly max: number
  /** 1 to 86,400,000. */
  readonly windowMs: number
}

export type LimitState = {
  /** Whether the units asked for were counted, or would be. */
  readonly isAllowed: boolean
  /** Units that may still be taken now. */
  readonly remaining: number
  /** Until the oldest unit counted leaves the window; 0: nothing is counted. */
  readonly resetMs: number
  /** Until what was refused could be taken; 0 when it is allowed. */
  readonly retryAfterMs: number
}

/**
 * Counts units by key in a sliding window: never more than `max` in any `windowMs`, also when many
 * processes take at once. Refused units are not counted. A unit counts from the millisecond it was
 * taken; where `max` is above `EXACT_MAX`, times are kept in steps of a 64th of the window, and a
 * unit may count for one step longer, never shorter. So what a key takes is bounded, whatever `max`
 * is. Keys leave by themselves a window after their last unit.
 */
export type RateLimitStore = {
  /** Takes `cost` units (1 to `max`), or none of them. One step, atomic over all processes. */
  take(key: string, limit: Limit, cost: number): Promise<LimitState>
  /** Whether one unit could be taken and how many are left, taking none. */
  peek(key: string, limit: Limit): Promise<LimitState>
}

export const EXACT_MAX = 128
const STEPS = 64

/** How fine the times of a limit are kept, in ms. */
export const stepMsOf = ({ max, windowMs }: Limit): number =>
  max <= EXACT_MAX ? 1 : Math.max(1, Math.ceil(windowMs / STEPS))
