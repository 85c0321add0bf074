/** How long a command may take, for all connections of this process together. */
export type Patience = {
  timeoutMs(): number
  noteTimeout(): void
}

/** Three connections may hang at once, and one request may ask all of them. */
const IMPATIENT_TIMEOUT_MS = 10
/** Longer than one request waits for all of them. */
const IMPATIENT_FOR_MS = 200

/**
 * Whoever has waited in vain once waits less for the next, so that few requests pay for servers
 * that have all just stopped answering. What one request may spend in all is its budget's to say.
 */
export const createPatience = (
  timeoutMs: number,
  { monotonicMs }: { readonly monotonicMs: () => number },
): Patience => {
  let lostAtMs = -Infinity
  return {
    timeoutMs: () =>
      monotonicMs() - lostAtMs < IMPATIENT_FOR_MS
        ? Math.min(IMPATIENT_TIMEOUT_MS, timeoutMs)
        : timeoutMs,
    noteTimeout() {
      lostAtMs = monotonicMs()
    },
  }
}
