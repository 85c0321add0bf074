import { type Lane, markNotDone, notDone, rejoin, type Ticket, takeIn, type Yard } from './lane.js'
import { answerUnwritten, conclude } from './lane-answer.js'
import { recover } from './lane-recover.js'
import { whatToLoad } from './needs.js'
import { type Plan, planBatch } from './plan.js'

/** Each keeps a connection while it waits for a row lock: the others stay with the lanes. */
export const MAX_ALONE = 2

/** Takes an account out of its lane, to be done beside the batches. */
export function park(yard: Yard, lane: Lane, tickets: readonly Ticket[]): void {
  const accountId = tickets[0]?.operation.accountId
  if (accountId === undefined) return
  const before = lane.parked.get(accountId)
  lane.parked.set(accountId, [...(before ?? []), ...tickets])
  if (!before) void runAlone(yard, lane, accountId)
}

/** Somebody keeps a row that one of the accounts needs: each goes alone, so that one waits. */
export function parkEach(yard: Yard, lane: Lane, tickets: readonly Ticket[]): void {
  for (const ticket of tickets) {
    ticket.isSent = false
    ticket.lookUp = true
    park(yard, lane, [ticket])
  }
}

/** Does what waits for one account under its row lock; then the account rejoins its lane. */
async function runAlone(yard: Yard, lane: Lane, accountId: string): Promise<void> {
  const { batchOperations } = yard.deps.limits
  const waiting = () => {
    const parked = (lane.parked.get(accountId) ?? []).filter(notDone)
    lane.parked.set(accountId, parked)
    return parked
  }
  for (let attempt = 0; ; attempt += 1) {
    const tickets = waiting().slice(0, batchOperations)
    if (tickets.length === 0) break
    if (await runPart(yard, lane, tickets, attempt)) break
  }
  const left = waiting()
  lane.parked.delete(accountId)
  for (const ticket of left) ticket.refusals = 0
  rejoin(lane, left)
  yard.wake(lane)
}

/** True when the tickets were dealt with, false when they must go again. */
async function runPart(
  yard: Yard,
  lane: Lane,
  tickets: readonly Ticket[],
  attempt: number,
): Promise<boolean> {
  try {
    await inTurn(yard, () => runLocked(yard, lane, tickets))
    return true
  } catch (error) {
    const halves = async (part: readonly Ticket[]) => void (await runPart(yard, lane, part, 0))
    return !(await recover(yard, tickets, { error, attempt, halves }))
  }
}

async function inTurn({ alone }: Yard, task: () => Promise<void>): Promise<void> {
  while (alone.running >= MAX_ALONE) {
    await new Promise<void>((resolve) => alone.waiting.push(resolve))
  }
  alone.running += 1
  try {
    await task()
  } finally {
    alone.running -= 1
    alone.waiting.shift()?.()
  }
}

async function runLocked(yard: Yard, lane: Lane, tickets: readonly Ticket[]): Promise<void> {
  for (const ticket of tickets) ticket.lookUp = true
  const request = whatToLoad(tickets, () => undefined)
  const made: { plan?: Plan<Ticket> } = {}
  const reply = await yard.deps.port.alone(request, (loaded) => {
    const loadedAccounts = takeIn(yard, request, loaded)
    const known = (id: string) => loadedAccounts.get(id) ?? absent(id)
    const at = { epoch: loaded.epoch, nowMs: loaded.nowMs, told: yard.deps.told }
    const waiting = tickets.filter(notDone)
    markNotDone(waiting, known)
    made.plan = planBatch(waiting, known, at)
    if (made.plan.batch) for (const ticket of tickets) ticket.isSent = true
    return made.plan.batch
  })
  for (const ticket of tickets) ticket.isSent = false
  if (!made.plan) return
  answerUnwritten(made.plan)
  // What is refused even here stays unanswered, and rejoins its lane with the account.
  if (reply) conclude(yard, lane, made.plan, reply)
}

function absent(accountId: string): never {
  throw new Error(`account ${accountId} was not asked for`)
}
