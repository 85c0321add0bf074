/** As long as a known key may be used after its end; a new one can't have been tried before. */
export const FAILED_KEY_TTL_MS = 5_000
/** Beyond it the one that failed first is looked up again. */
const MAX_FAILED_KEYS = 10_000
/** Whatever else is sent costs no look into the database. */
const KEY_HEADER = /^Bearer +ck_(?:live|test)_[A-Za-z0-9_-]{43} *$/i

export type FailedKeys = {
  has(header: string | undefined): boolean
  add(header: string): void
}

/** API keys that were refused just now, so that who repeats them costs no look-up each time. */
export function createFailedKeys(nowMs: () => number): FailedKeys {
  const failed = new Map<string, number>()
  return {
    has(header) {
      // nearly always
      if (failed.size === 0 || header === undefined) return false
      const untilMs = failed.get(header)
      if (untilMs === undefined) return false
      if (untilMs > nowMs()) return true
      failed.delete(header)
      return false
    },
    add(header) {
      // not once more while it is there: who goes on asking is looked up in time
      if (failed.has(header) || !KEY_HEADER.test(header)) return
      failed.set(header, nowMs() + FAILED_KEY_TTL_MS)
      if (failed.size <= MAX_FAILED_KEYS) return
      const [oldest] = failed.keys()
      if (oldest !== undefined) failed.delete(oldest)
    },
  }
}
