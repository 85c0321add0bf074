import { forgetEpoch, type Lane, maintenance, type Ticket, type Yard } from './lane.js'
import type { Answer, Plan } from './plan.js'
import type { AppendReply, RefusalReason } from './port.js'

/** Accounts that need no append were read after their operations arrived: that is proof enough. */
export function answerUnwritten({ batch, answers }: Plan<Ticket>): void {
  const inBatch = new Set(batch?.accounts.map((account) => account.state.accountId))
  for (const [accountId, own] of answers) {
    if (inBatch.has(accountId)) continue
    for (const { entry, answer } of own) entry.answer(answer)
  }
}

/** An account that must be decided anew. */
export type Refusal = {
  readonly tickets: readonly Ticket[]
  /** Absent when the whole batch was refused: then nothing is wrong with the account. */
  readonly reason: RefusalReason | undefined
}

/** Answers what the append confirmed; returns the accounts it refused. */
export function conclude(
  yard: Yard,
  lane: Lane,
  { batch, answers }: Plan<Ticket>,
  reply: AppendReply,
): Refusal[] {
  if (reply.status === 'epoch') forgetEpoch(yard)
  const refusals: Refusal[] = []
  for (const { state } of batch?.accounts ?? []) {
    const own = answers.get(state.accountId) ?? []
    const reason = reply.refused.get(state.accountId)
    if (reply.status === 'ok' && !reason) {
      // What was written in an epoch that is over is no basis for the next.
      if (batch?.epoch === yard.epoch) lane.cache.put(state)
      for (const { entry, answer } of own) entry.answer(answer)
    } else if (reply.status === 'gate') for (const { entry } of own) entry.answer(GATE())
    else {
      lane.cache.delete(state.accountId)
      const tickets = own.map(({ entry }) => entry)
      for (const ticket of tickets) ticket.lookUp = true
      refusals.push({ tickets, reason })
    }
  }
  return refusals
}

const GATE = (): Answer => ({ error: maintenance() })
