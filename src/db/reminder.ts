/** Tells whether to say something again that goes on: at once, then every `everyMs`. */
export const createReminder = (everyMs: number): ((nowMs: number) => boolean) => {
  let toldAtMs = Number.NEGATIVE_INFINITY
  return (nowMs) => {
    if (nowMs - toldAtMs < everyMs) return false
    toldAtMs = nowMs
    return true
  }
}
