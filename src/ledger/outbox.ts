import { sql } from 'drizzle-orm'
import type { Transaction } from '../db/transaction.js'
import type { JsonObject } from './model.js'

/** What others are told of, in an outbox until it is delivered. The id is made from the fact. */
export type OutboxEvent = {
  readonly accountId: string
  readonly id: string
  readonly type: string
  readonly data: JsonObject
  readonly createdAtMs: number
}

/**
 * Puts events of facts that move no credits into the outbox, in the transaction that writes the
 * fact; their data names the account too. An event whose account and id are there already is left
 * as it is, so it is safe to repeat.
 */
export async function enqueueEvents(
  tx: Transaction,
  events: readonly OutboxEvent[],
): Promise<void> {
  if (events.length === 0) return
  const named = events.map((event) => {
    const { accountId } = event
    return { ...event, data: { ...event.data, accountId } }
  })
  const rows = JSON.stringify(named)
  await tx.execute(sql`
    insert into events (account_id, id, type, data, created_at)
    select e."accountId", e.id, e.type, e.data, from_ms(e."createdAtMs")
      from jsonb_to_recordset(${rows}::jsonb)
           e ("accountId" text, id text, type text, data jsonb, "createdAtMs" bigint)
        on conflict (account_id, id) do nothing`)
}
