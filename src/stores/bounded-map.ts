export type BoundedMapOptions<V> = {
  readonly maxEntries: number
  /** The most that all values together may weigh; without it only their number counts. */
  readonly maxWeight?: number
  readonly weigh?: (value: V) => number
  readonly nowMs: () => number
  /** Told of each value that goes, for whatever reason; not when another takes its place. */
  readonly onRemove?: (value: V) => void
}

export type BoundedMap<V> = {
  readonly size: number
  readonly weight: number
  /** The value, which is now the one used last; undefined: none, or past its time. */
  get(key: string): V | undefined
  /** The same without counting as a use. */
  peek(key: string): V | undefined
  /** Keeps a value until `expiresAtMs`, in the place of an older one. */
  set(key: string, value: V, expiresAtMs: number): void
  /** Whether it was there and still good. */
  delete(key: string): boolean
  /** The keys of what is still good, used longest ago first. */
  keys(): string[]
}

type Entry<V> = { value: V; expiresAtMs: number; weight: number }

/** Looking at every entry takes a millisecond or two: often enough, and never with each write. */
const SWEEP_EVERY_MS = 1_000

/**
 * A map that never outgrows its limits, whatever is put into it: when it is full, what is past its
 * time goes first, then what was used longest ago.
 */
export const createBoundedMap = <V>(options: BoundedMapOptions<V>): BoundedMap<V> => {
  const { maxEntries, maxWeight = Infinity, weigh = () => 0, nowMs, onRemove } = options
  // a Map keeps the order in which its keys were set: the first one was used longest ago
  const entries = new Map<string, Entry<V>>()
  // kept between calls: a new iterator would have to pass all that was deleted before it
  let usedLongestAgo = entries.entries()
  let weight = 0
  let sweptAtMs = -Infinity

  const remove = (key: string, entry: Entry<V>): void => {
    entries.delete(key)
    weight -= entry.weight
    onRemove?.(entry.value)
  }
  const sweep = (now: number): void => {
    if (now - sweptAtMs < SWEEP_EVERY_MS && now >= sweptAtMs) return
    sweptAtMs = now
    for (const [key, entry] of entries) if (entry.expiresAtMs <= now) remove(key, entry)
  }
  const isFull = () => entries.size > maxEntries || weight > maxWeight
  const makeRoom = (now: number): void => {
    if (isFull()) sweep(now)
    while (isFull()) {
      let oldest = usedLongestAgo.next()
      if (oldest.done) {
        usedLongestAgo = entries.entries()
        oldest = usedLongestAgo.next()
      }
      if (oldest.done) return
      remove(...oldest.value)
    }
  }
  /** Past its time, an entry is gone as soon as somebody looks. */
  const find = (key: string): Entry<V> | undefined => {
    const entry = entries.get(key)
    if (entry === undefined || entry.expiresAtMs > nowMs()) return entry
    remove(key, entry)
    return undefined
  }

  return {
    get size() {
      return entries.size
    },
    get weight() {
      return weight
    },
    get(key) {
      const entry = find(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      entries.set(key, entry)
      return entry.value
    },
    peek: (key) => find(key)?.value,
    set(key, value, expiresAtMs) {
      const old = entries.get(key)
      const entry = { value, expiresAtMs, weight: weigh(value) }
      // one that can never fit must not drive all the others out
      if (entry.weight > maxWeight) {
        if (old !== undefined) remove(key, old)
        return
      }
      entries.delete(key)
      entries.set(key, entry)
      weight += entry.weight - (old?.weight ?? 0)
      makeRoom(nowMs())
    },
    delete(key) {
      const entry = find(key)
      if (entry !== undefined) remove(key, entry)
      return entry !== undefined
    },
    keys() {
      const now = nowMs()
      return [...entries].filter(([, entry]) => entry.expiresAtMs > now).map(([key]) => key)
    },
  }
}
