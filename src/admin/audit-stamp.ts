/** When an entry was made, in ms since the epoch, and its id: of two entries both rise together. */
export type Stamp = { readonly id: string; readonly atMs: number }

/** Twelve bits of the id count the entries of one millisecond. */
const MAX_COUNT = 0xfff
/** A clock that is learnt anew goes back by less; one that was set is followed. */
const MAX_BACK_MS = 1_000
/** Where the random half of a uuid begins. */
const RANDOM_AT = 19

/**
 * Stamps entries in the order in which they are made: a time that does not go back while the clock
 * is only corrected, and a uuid of version 7, whose text sorts as time and count do. `newId` gives
 * uuids of version 4; their random half tells instances apart.
 */
export function createStamps(deps: { newId: () => string; now: () => number }): () => Stamp {
  let lastMs = 0
  let count = 0
  return () => {
    const nowMs = deps.now()
    if (nowMs > lastMs || nowMs < lastMs - MAX_BACK_MS) {
      lastMs = nowMs
      count = 0
    } else if (count === MAX_COUNT) {
      lastMs += 1
      count = 0
    } else count += 1
    const time = lastMs.toString(16).padStart(12, '0')
    const order = `${time.slice(0, 8)}-${time.slice(8)}-7${count.toString(16).padStart(3, '0')}`
    return { id: `${order}-${deps.newId().slice(RANDOM_AT)}`, atMs: lastMs }
  }
}
