import { AppError } from '../errors.js'
import { type Ticket, unavailable, type Yard } from './lane.js'
import { type FailureKind, PortError } from './port.js'

const FIRST_BACKOFF_MS = 100
const MAX_BACKOFF_MS = 5000

type Failure = {
  readonly error: unknown
  /** How often the same tickets have failed before. */
  readonly attempt: number
  readonly halves: (tickets: readonly Ticket[]) => Promise<void>
}

/** After a failed call: true when the same tickets shall go again, false when all is done. */
export async function recover(
  yard: Yard,
  tickets: readonly Ticket[],
  failure: Failure,
): Promise<boolean> {
  const kind: FailureKind = failure.error instanceof PortError ? failure.error.kind : 'data'
  for (const ticket of tickets) {
    if (kind !== 'unknown') ticket.isSent = false
    if (ticket.isSent) ticket.isLost = true
  }
  if (kind === 'data') {
    await isolate(yard, tickets, failure)
    return false
  }
  if (kind === 'failed') {
    failAll(yard, tickets, failure.error)
    return false
  }
  if (kind === 'unavailable') {
    for (const ticket of tickets) ticket.answer({ error: unavailable(failure.error) })
    return false
  }
  if (kind !== 'locked' && failure.error instanceof Error) yard.trouble = failure.error
  for (const ticket of tickets) ticket.lookUp = true
  if (tickets.some((ticket) => ticket.isSent)) await fence(yard, tickets)
  // A lock was waited for already, and is as likely to come free at any time.
  else await yard.deps.time.sleep(backoffMs(yard, kind === 'locked' ? 0 : failure.attempt))
  return true
}

/** Until the versions are raised, nobody may decide anew: the lost append could still land. */
async function fence(yard: Yard, tickets: readonly Ticket[]): Promise<void> {
  const accounts = [...new Set(tickets.map((ticket) => ticket.operation.accountId))].sort()
  for (let attempt = 0; tickets.some((ticket) => !ticket.isDone); attempt += 1) {
    try {
      await yard.deps.port.fence(accounts)
      for (const ticket of tickets) ticket.isSent = false
      return
    } catch (error) {
      if (error instanceof Error) yard.trouble = error
      await yard.deps.time.sleep(backoffMs(yard, attempt))
    }
  }
}

/** One fault for all: it lies in none of them, and nothing of them was done. */
function failAll({ deps }: Yard, tickets: readonly Ticket[], error: unknown): void {
  const [first] = tickets
  if (first) deps.onFault(error, first.operation)
  for (const ticket of tickets) ticket.answer({ error: failedHere(error) })
}

/** Halves the batch until the operation that can not be stored stands alone and fails alone. */
async function isolate(yard: Yard, tickets: readonly Ticket[], failure: Failure): Promise<void> {
  const [only] = tickets
  if (only && tickets.length === 1) {
    yard.deps.onFault(failure.error, only.operation)
    only.answer({ error: failedHere(failure.error) })
    return
  }
  const middle = Math.ceil(tickets.length / 2)
  await failure.halves(tickets.slice(0, middle))
  await failure.halves(tickets.slice(middle))
}

const failedHere = (cause: unknown): AppError =>
  new AppError('internal', 'The operation failed here', {}, cause)

function backoffMs({ deps }: Yard, attempt: number): number {
  const fullMs = Math.min(FIRST_BACKOFF_MS * 2 ** attempt, MAX_BACKOFF_MS)
  return fullMs * (0.5 + deps.time.random() / 2)
}
