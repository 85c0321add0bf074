/** Times in buckets 2 % wide, from 1 µs to about 100 s. */
export type Histogram = {
  record(us: number): void
  /** The time that `share` (0 … 1) of the recorded ones do not exceed; 0 without any. */
  quantile(share: number): number
  count(): number
}

const GROWTH = 1.02
const BUCKETS = 1_000

export function createHistogram(): Histogram {
  const buckets = new Uint32Array(BUCKETS)
  const scale = 1 / Math.log(GROWTH)
  let total = 0
  return {
    record(us) {
      const bucket = us <= 1 ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(us) * scale))
      buckets[bucket] = (buckets[bucket] ?? 0) + 1
      total += 1
    },
    quantile(share) {
      let seen = 0
      for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
        seen += buckets[bucket] ?? 0
        if (seen > 0 && seen >= share * total) return GROWTH ** bucket
      }
      return 0
    },
    count: () => total,
  }
}
