import {
  type Lane,
  markNotDone,
  notDone,
  rejoin,
  type Ticket,
  takeIn,
  timed,
  type Yard,
} from './lane.js'
import { park, parkEach } from './lane-alone.js'
import { answerUnwritten, conclude, type Refusal } from './lane-answer.js'
import { recover } from './lane-recover.js'
import type { AccountState } from './model.js'
import { emptyContext, type KnownAccount, whatToLoad } from './needs.js'
import { planBatch } from './plan.js'
import { type AppendReply, type Batch, PortError } from './port.js'

/** An account whose batches were refused this often in a row is done alone, under its row lock. */
const REFUSALS_UNTIL_ALONE = 3

/** Does one batch. Whatever happens, each ticket is answered, parked or rejoins its lane. */
export async function run(yard: Yard, lane: Lane, batch: readonly Ticket[]): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const tickets = batch.filter(notDone)
    if (tickets.length === 0) return
    try {
      rejoin(lane, await runOnce(yard, lane, tickets))
      return
    } catch (error) {
      for (const { operation } of tickets) lane.cache.delete(operation.accountId)
      // A table may be locked for a moment; whoever keeps a row longer stops one account only.
      const isLocked = error instanceof PortError && error.kind === 'locked'
      if (isLocked && attempt + 1 >= REFUSALS_UNTIL_ALONE) {
        parkEach(yard, lane, tickets)
        return
      }
      const halves = (part: readonly Ticket[]) => run(yard, lane, part)
      if (!(await recover(yard, tickets, { error, attempt, halves }))) return
    }
  }
}

/** Load what is lacking, decide, append; returns what must be decided anew. */
async function runOnce(yard: Yard, lane: Lane, batch: readonly Ticket[]): Promise<Ticket[]> {
  const { deps, epoch } = yard
  const kept = keptFor(lane, batch)
  if (lane.expectsRepeats) for (const ticket of batch) ticket.lookUp = true
  const request = whatToLoad(batch, (id) => kept.get(id))
  const needsLoad = request.accounts.length > 0 || request.keys.length > 0 || epoch === ''
  const reply = needsLoad ? await timed(deps, () => deps.port.load(request)) : null
  const loaded = reply && takeIn(yard, request, reply, (id) => kept.get(id))
  if (reply && lane.expectsRepeats) lane.expectsRepeats = areMany(reply.rows, request.keys)
  // Deadlines may have passed meanwhile, and what was kept may be of an epoch that is over.
  const tickets = batch.filter(notDone)
  if (yard.epoch !== epoch && kept.size > 0) return tickets
  const known = (id: string) => loaded?.get(id) ?? keptAccount(kept.get(id))
  markNotDone(tickets, known)
  const plan = planBatch(tickets, known, {
    epoch: yard.epoch,
    nowMs: deps.clock.now(),
    told: deps.told,
  })
  for (const ticket of plan.deferred) ticket.lookUp = true
  answerUnwritten(plan)
  if (!plan.batch) return [...plan.deferred]
  const appended = await append(yard, plan.batch, tickets)
  const again = new Set(plan.deferred)
  const refusals = conclude(yard, lane, plan, appended)
  if (areMany(refusals.filter(isRepeat), plan.batch.accounts)) lane.expectsRepeats = true
  for (const refusal of refusals) {
    if (mustGoAlone(refusal)) park(yard, lane, refusal.tickets)
    else for (const ticket of refusal.tickets) again.add(ticket)
  }
  return tickets.filter((ticket) => again.has(ticket))
}

/** From this share of repeats on, one more round trip for all costs less than a second try. */
const MANY_REPEATS = 1 / 4

const areMany = (some: readonly unknown[], all: readonly unknown[]): boolean =>
  some.length > 0 && some.length >= all.length * MANY_REPEATS

const isRepeat = ({ reason }: Refusal): boolean => reason === 'key'

function keptFor(lane: Lane, tickets: readonly Ticket[]): Map<string, AccountState> {
  const kept = new Map<string, AccountState>()
  for (const { operation } of tickets) {
    const state = lane.cache.get(operation.accountId)
    if (state) kept.set(operation.accountId, state)
  }
  return kept
}

async function append(
  { deps }: Yard,
  batch: Batch,
  tickets: readonly Ticket[],
): Promise<AppendReply> {
  for (const ticket of tickets) ticket.isSent = true
  const startMs = deps.time.monotonicMs()
  const reply = await timed(deps, () => deps.port.append(batch))
  const durationMs = deps.time.monotonicMs() - startMs
  for (const ticket of tickets) ticket.isSent = false
  deps.onBatch({ operations: tickets.length, durationMs, refusedAccounts: reply.refused.size })
  return reply
}

function mustGoAlone({ tickets, reason }: Refusal): boolean {
  if (!reason) return false
  for (const ticket of tickets) ticket.refusals += 1
  return reason === 'busy' || tickets.some((ticket) => ticket.refusals >= REFUSALS_UNTIL_ALONE)
}

const keptAccount = (state: AccountState | undefined): KnownAccount => ({
  state: state ?? null,
  isFresh: false,
  rows: new Map(),
  context: emptyContext(),
})
