import {
  createTicket,
  type Lane,
  type LaneDeps,
  notDone,
  overloaded,
  type Ticket,
  tooLate,
  type Yard,
} from './lane.js'
import { run } from './lane-run.js'
import type { LedgerStats } from './ledger.js'
import type { Operation, Outcome } from './model.js'
import { createStateCache } from './state-cache.js'

/** How often deadlines are looked at; a request may outlive its deadline by this. */
const DEADLINE_CHECK_MS = 50

export type Lanes = {
  submit(operation: Operation): Promise<Outcome>
  stats(): LedgerStats
  close(): Promise<void>
}

/**
 * Collects concurrent operations into batches: one lane for each share of the accounts, one batch
 * in flight in each, no timer: a free lane takes what is there. Answers within the time limit.
 */
export function createLanes(deps: LaneDeps): Lanes {
  const { limits, time } = deps
  const yard = createYard(deps)
  let isClosing = false
  let isWatching = false

  function submit(operation: Operation): Promise<Outcome> {
    if (isClosing) return Promise.reject(overloaded('The service is stopping'))
    if (yard.open.size >= limits.queueOperations) {
      return Promise.reject(overloaded('Too many operations are waiting; nothing was done'))
    }
    return new Promise((resolve, reject) => {
      const deadlineMs = time.monotonicMs() + limits.timeoutMs
      const ticket = createTicket(operation, deadlineMs, (answered, answer) => {
        yard.open.delete(answered)
        if (answer.error) reject(answer.error)
        else resolve(answer.outcome)
      })
      yard.open.add(ticket)
      const lane = laneOf(yard, operation.accountId)
      lane.queue.push(ticket)
      yard.wake(lane)
      void watchDeadlines()
    })
  }

  /** Deadlines pass in the order of arrival, so the first open ticket tells. */
  async function watchDeadlines(): Promise<void> {
    if (isWatching) return
    isWatching = true
    while (yard.open.size > 0) {
      await time.sleep(DEADLINE_CHECK_MS)
      for (const ticket of yard.open) {
        if (ticket.deadlineMs > time.monotonicMs()) break
        ticket.answer({ error: tooLate(yard) })
      }
    }
    isWatching = false
  }

  async function close(): Promise<void> {
    isClosing = true
    while (yard.open.size > 0) await time.sleep(DEADLINE_CHECK_MS)
  }

  return { submit, stats: () => statsOf(yard), close }
}

function createYard(deps: LaneDeps): Yard {
  const { limits, time } = deps
  const cachedParts = Math.ceil(limits.cachedParts / limits.lanes)
  const lanes = Array.from(
    { length: limits.lanes },
    (): Lane => ({
      queue: [],
      isBusy: false,
      expectsRepeats: false,
      cache: createStateCache(cachedParts),
      parked: new Map(),
    }),
  )
  const yard: Yard = {
    deps,
    lanes,
    open: new Set(),
    epoch: '',
    trouble: null,
    alone: { running: 0, waiting: [] },
    wake(lane) {
      if (lane.isBusy || lane.queue.length === 0) return
      lane.isBusy = true
      time.soon(() => void drain(yard, lane))
    },
  }
  return yard
}

async function drain(yard: Yard, lane: Lane): Promise<void> {
  for (let batch = take(yard, lane); batch.length > 0; batch = take(yard, lane)) {
    await run(yard, lane, batch)
  }
  lane.isBusy = false
}

/** The next batch: in order of arrival, without what is done or must wait for its account. */
function take({ deps }: Yard, lane: Lane): Ticket[] {
  const { batchBytes, batchOperations } = deps.limits
  const batch: Ticket[] = []
  let bytes = 0
  let taken = 0
  for (const ticket of lane.queue) {
    const isFull = batch.length > 0 && bytes + ticket.bytes > batchBytes
    if (batch.length >= batchOperations || isFull) break
    taken += 1
    if (ticket.isDone) continue
    const parked = lane.parked.get(ticket.operation.accountId)
    if (parked) {
      parked.push(ticket)
      continue
    }
    batch.push(ticket)
    bytes += ticket.bytes
  }
  lane.queue.splice(0, taken)
  return batch
}

function laneOf(yard: Yard, accountId: string): Lane {
  const lane = yard.lanes[hash(accountId) % yard.lanes.length]
  if (!lane) throw new Error('there is no lane')
  return lane
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i += 1) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  }
  return value >>> 0
}

function statsOf(yard: Yard): LedgerStats {
  const queued = yard.lanes.reduce((sum, lane) => sum + lane.queue.filter(notDone).length, 0)
  const cachedAccounts = yard.lanes.reduce((sum, lane) => sum + lane.cache.size(), 0)
  const lanesBusy = yard.lanes.filter(({ isBusy }) => isBusy).length
  const inFlight = yard.open.size - queued
  return { queued, inFlight, cachedAccounts, lanes: yard.lanes.length, lanesBusy }
}
