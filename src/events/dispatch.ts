import type { Claimed, Deliveries, Settled, SwitchedOff } from './deliveries.js'
import { bodyOf, publicIdOf } from './event.js'
import { pauseAfter } from './pauses.js'
import type { Attempt, Post } from './post.js'
import { signedHeaders } from './signature.js'

/** One run takes on no more after that; the next run begins within a second. */
const RUN_MS = 20_000
/** What has become due meanwhile does not wait for those that are slow to answer. */
const TICK_MS = 250

export type DispatchDeps = {
  readonly deliveries: Deliveries
  readonly post: Post
  /** Told once, after it is so. */
  readonly onSwitchedOff: (off: SwitchedOff) => void
  /** Ms since the epoch. */
  readonly now: () => number
  readonly monotonicMs: () => number
  readonly sleep: (ms: number) => Promise<unknown>
  /** In [0, 1). */
  readonly random: () => number
}

/**
 * Sends what is due until nothing is, or until its time is up; gives how many were taken. Each
 * endpoint has room of its own, so that a slow one holds up nobody else. Any number of instances
 * may do it: a delivery is one instance's at a time, and what a crash leaves behind comes again.
 * When told to stop, it breaks off and gives back what it had taken.
 */
export const createDispatch = (deps: DispatchDeps) => async (signal: AbortSignal) => {
  const { deliveries, now } = deps
  const flights = createFlights(deps, signal)
  const endMs = deps.monotonicMs() + RUN_MS
  let count = 0
  for (;;) {
    const landed = flights.landed()
    if (landed.length > 0) {
      const off = await deliveries.settle(landed, now())
      off.forEach(deps.onSwitchedOff)
      count += landed.filter(({ attempt }) => attempt.kind === 'delivered').length
    }
    const isOver = signal.aborted || deps.monotonicMs() >= endMs
    const claimed = isOver ? [] : await deliveries.claim(flights.busy(), now())
    claimed.forEach(flights.begin)
    if (flights.isEmpty()) return count
    await flights.next()
  }
}

/** The deliveries under way, and those that have come to an end. */
function createFlights(deps: DispatchDeps, signal: AbortSignal) {
  const busy = new Map<string, number>()
  let landed: Settled[] = []
  let wake = () => {}

  const add = (endpointId: string, change: 1 | -1) => {
    const count = (busy.get(endpointId) ?? 0) + change
    if (count === 0) busy.delete(endpointId)
    else busy.set(endpointId, count)
  }

  return {
    busy: () => busy,
    isEmpty: () => busy.size === 0 && landed.length === 0,
    begin(claimed: Claimed) {
      add(claimed.endpointId, 1)
      void send(deps, claimed, signal).then((attempt) => {
        add(claimed.endpointId, -1)
        landed.push(settledOf(deps, claimed, attempt))
        wake()
      })
    },
    landed() {
      const all = landed
      landed = []
      return all
    },
    /** Until one has landed, or for a tick. */
    next() {
      if (landed.length > 0) return Promise.resolve()
      const first = new Promise<void>((resolve) => {
        wake = resolve
      })
      return Promise.race([first, deps.sleep(TICK_MS)])
    },
  }
}

function send({ post, now }: DispatchDeps, claimed: Claimed, signal: AbortSignal) {
  const { url, secrets, event } = claimed
  const body = bodyOf(event)
  const id = publicIdOf(event.accountId, event.eventId)
  const headers = signedHeaders({ id, body, atMs: now() }, secrets)
  return post(url, { headers, body }, signal)
}

function settledOf(
  { now, random }: DispatchDeps,
  { endpointId, attempts, event }: Claimed,
  attempt: Attempt,
): Settled {
  const retryAfterMs = attempt.kind === 'failed' ? attempt.retryAfterMs : null
  const pauseMs = pauseAfter(attempts + 1, retryAfterMs, random())
  const retryAtMs = pauseMs === null ? null : Math.round(now() + pauseMs)
  return { endpointId, position: event.position, attempt, retryAtMs }
}
