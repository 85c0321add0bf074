import { type BoundedMap, createBoundedMap } from '../bounded-map.js'
import type { Revocation, RevocationPage } from './revocations.js'
import { type SharedSessionDeps, sessionKeyOf } from './shared.js'

/** Asked for again, lest one is missed whose transaction was under way the last time. */
const OVERLAP_MS = 10_000
/** The same where Redis has been away: it is rare, and costs little. */
const RETURN_OVERLAP_MS = 60_000
/** A bound on one replay, far above the sessions of a service: a page takes a few ms. */
const MAX_PAGES = 2_000
/** Told in one round trip, two under way: few enough that no request waits long behind them. */
const CROWD = 100
/** Those that were told a moment ago, lest they are told again with each look. */
const MAX_APPLIED = 50_000

/**
 * What Redis has not been told of yet: what is new while it is in use; what was noted since the
 * last time, where it comes back as it was; all, where it is another or has lost something.
 */
export type ReplayOf = 'new' | 'missed' | 'all'

export type Replay = {
  /** Tells Redis what was revoked. */
  run(what: ReplayOf): Promise<void>
}

type ReplayDeps = Pick<SharedSessionDeps, 'redis' | 'revocations' | 'nowMs'>

export const createReplay = ({ redis, revocations, nowMs }: ReplayDeps): Replay => {
  const applied: BoundedMap<true> = createBoundedMap({ maxEntries: MAX_APPLIED, nowMs })
  const nameOf = ({ tag, digest, atMs }: Revocation) => `${tag} ${digest ?? ''} ${atMs}`
  let lastMs = 0
  return {
    async run(what) {
      const startedMs = await revocations.readTimeMs()
      const overlapMs = what === 'new' ? OVERLAP_MS : RETURN_OVERLAP_MS
      const sinceMs = what === 'all' ? 0 : Math.max(lastMs - overlapMs, 0)
      let next: Promise<RevocationPage> | null = revocations.list(sinceMs, null)
      for (let page = 0; page < MAX_PAGES && next !== null; page += 1) {
        const found: RevocationPage = await next
        // read while Redis is told of those before
        next = found.next === null ? null : revocations.list(sinceMs, found.next)
        next?.catch(() => {})
        const isDue = (one: Revocation) => what !== 'new' || !applied.peek(nameOf(one))
        const due = found.revocations.filter(isDue)
        await inCrowds(due, redis.apply)
        for (const one of due) applied.set(nameOf(one), true, nowMs() + 2 * OVERLAP_MS)
      }
      lastMs = startedMs
    },
  }
}

type RestoreDeps = Pick<SharedSessionDeps, 'redis' | 'mirror'>

/** Puts back what this process has seen, as far as Redis has lost it. */
export const restoreAll = async ({ redis, mirror }: RestoreDeps): Promise<void> => {
  const all = mirror.seen.keys().flatMap((key) => mirror.seen.peek(key) ?? [])
  await inCrowds(all, async (crowd) => {
    const areBack = await redis.carryOver(crowd)
    for (const [index, { id }] of crowd.entries()) {
      if (!areBack[index]) mirror.seen.delete(sessionKeyOf(id))
    }
  })
}

const inCrowds = async <T>(
  items: readonly T[],
  act: (crowd: readonly T[]) => Promise<void>,
): Promise<void> => {
  let before: Promise<void> = Promise.resolve()
  for (let i = 0; i < items.length; i += CROWD) {
    // made ready while Redis is busy with those before
    const now = act(items.slice(i, i + CROWD))
    now.catch(() => {})
    await before
    before = now
  }
  await before
}
