import { createPriceList, type PriceList } from './price-list.js'
import type { PriceStore } from './store.js'

/**
 * How long a loaded list may be used, counted from the moment its loading began. A write is
 * answered only after this time has passed since its commit: by then every list that was loaded
 * before the commit has run out, in every instance, without any message between them. So an
 * operator who has the answer knows that nothing is sold at the old price any more.
 */
export const CATALOGUE_LEASE_MS = 250
/** A list in use is renewed from this age on, beside the requests, so that none waits for it. */
export const RENEW_AFTER_MS = 200

type Snapshot = {
  readonly list: PriceList
  readonly fingerprint: string
  /** When its loading began: it holds every write committed before. */
  readonly startedAtMs: number
}

/**
 * Gives the list as of the call, from memory as a rule. It fails when the database can not be
 * asked in time: an older list is not used instead, for a price that was changed meanwhile would
 * be wrong, and without the database nothing can be charged anyway. `now` is monotonic.
 */
export function createSnapshots(store: PriceStore, now: () => number): () => Promise<PriceList> {
  let latest: Snapshot | null = null
  let loading: Promise<Snapshot> | null = null

  async function load(): Promise<Snapshot> {
    const before = latest
    let startedAtMs = now()
    const stored = await store.load(before?.fingerprint ?? null, () => {
      startedAtMs = now()
    })
    if (stored === null) {
      if (before === null) throw new Error('a list that was never loaded can not be unchanged')
      return { ...before, startedAtMs }
    }
    const list = createPriceList(stored.prices, stored.tiers, before?.list ?? null)
    return { list, fingerprint: stored.fingerprint, startedAtMs }
  }

  /** Many callers at once make one query. */
  function renew(): Promise<Snapshot> {
    loading ??= load()
      .then((snapshot) => {
        latest = snapshot
        return snapshot
      })
      .finally(() => {
        loading = null
      })
    return loading
  }

  return async () => {
    const calledAtMs = now()
    let snapshot: Snapshot = latest ?? (await renew())
    // A loading that began long before the call may have missed a write: then one more, no third.
    while (calledAtMs >= snapshot.startedAtMs + CATALOGUE_LEASE_MS) snapshot = await renew()
    // Should it fail, the next call in need of it fails, or succeeds.
    if (calledAtMs >= snapshot.startedAtMs + RENEW_AFTER_MS) renew().catch(() => {})
    return snapshot.list
  }
}
