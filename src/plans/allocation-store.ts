import { sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Transaction } from '../db/transaction.js'
import type { Period } from './calendar.js'
import type { Allocation, Given } from './rules.js'
import { SLACK_MS } from './standing.js'

/** Whoever decided it has so long to write it to the ledger, before the job takes it over. */
const LEASE_MS = 30_000
const MAX_RETRY_MS = 3_600_000

/** An allocation that was decided on and is not known to be in the ledger yet. */
export type OpenAllocation = Allocation & {
  /** Null: what rolls over is not known yet. */
  readonly rolledOver: number | null
}

type Row = {
  account_id: string
  plan_id: string
  start_ms: number
  end_ms: number
  tier: string
  credits: number
  bonus: number
  rollover_max: number
  rolled_over: number | null
}

const COLUMNS = sql`
  account_id, plan_id, to_ms(period_start) as start_ms, to_ms(period_end) as end_ms, tier, credits,
  bonus, rollover_max, rolled_over`

type Place = Pick<Allocation, 'accountId' | 'period'>

/** What accounts were given in periods, by account. */
export async function givenIn(
  on: NodePgDatabase,
  places: readonly Place[],
): Promise<ReadonlyMap<string, readonly Given[]>> {
  const given = new Map<string, Given[]>()
  if (places.length === 0) return given
  const keys = places.map(({ accountId, period }) => ({ id: accountId, ms: period.startMs }))
  const { rows } = await on.execute<{ accountId: string } & Given>(sql`
    select a.account_id as "accountId", a.plan_id as "planId", a.credits
      from jsonb_to_recordset(${JSON.stringify(keys)}::jsonb) k (id text, ms bigint)
      join allocations a on a.account_id = k.id and a.period_start = from_ms(k.ms)
     order by a.created_at`)
  for (const { accountId, ...row } of rows)
    given.set(accountId, [...(given.get(accountId) ?? []), row])
  return given
}

/** Adds allocations, in their order; gives those that are new. */
export async function addAllocations(
  tx: Transaction,
  allocations: readonly Allocation[],
  nowMs: number,
): Promise<OpenAllocation[]> {
  if (allocations.length === 0) return []
  const { rows } = await tx.execute<Row>(sql`
    insert into allocations (
      account_id, plan_id, period_start, period_end, tier, credits, bonus, rollover_max,
      rolled_over, created_at, next_attempt_at)
    select n.account_id, n.plan_id, from_ms(n.start_ms), from_ms(n.end_ms), n.tier, n.credits,
           n.bonus, n.rollover_max, case when n.rollover_max = 0 then 0 end, from_ms(${nowMs}),
           from_ms(${nowMs + LEASE_MS})
      from jsonb_to_recordset(${JSON.stringify(allocations.map(rowOf))}::jsonb) n (
             account_id text, plan_id text, start_ms bigint, end_ms bigint, tier text,
             credits bigint, bonus bigint, rollover_max bigint)
        on conflict (account_id, plan_id, period_start) do nothing
    returning ${COLUMNS}`)
  return rows.map(openOf)
}

/** Takes over what was to be written by now and was not; nobody else does so meanwhile. */
export async function takeOpen(
  on: NodePgDatabase,
  nowMs: number,
  limit: number,
): Promise<OpenAllocation[]> {
  const { rows } = await on.execute<Row>(sql`
    update allocations
       set next_attempt_at = from_ms(${nowMs + LEASE_MS})
     where (account_id, plan_id, period_start) in (
             select account_id, plan_id, period_start
               from allocations
              where next_attempt_at <= from_ms(${nowMs})
              order by next_attempt_at
              limit ${limit}
                for update skip locked)
    returning ${COLUMNS}`)
  return rows.map(openOf)
}

/** What of an account is not written yet. */
export async function openOfAccount(
  on: NodePgDatabase,
  accountId: string,
): Promise<OpenAllocation[]> {
  const { rows } = await on.execute<Row>(sql`
    select ${COLUMNS}
      from allocations
     where account_id = ${accountId} and next_attempt_at is not null
     order by period_start, created_at`)
  return rows.map(openOf)
}

/**
 * Decides how many unused credits of the periods before roll over: what the expiry rows of their
 * monthly lots say, at most as many as the plans allow. Decided once; gives what counts.
 */
export async function decideRollover(
  on: NodePgDatabase,
  open: readonly OpenAllocation[],
): Promise<OpenAllocation[]> {
  if (open.length === 0) return []
  const { rows } = await on.execute<Row>(sql`
    with asked as materialized (
      select k.account_id, k.plan_id, from_ms(k.start_ms) as start_at
        from jsonb_to_recordset(${JSON.stringify(open.map(rowOf))}::jsonb) k (
               account_id text, plan_id text, start_ms bigint)
    ), expired as materialized (
      select k.account_id, k.plan_id, k.start_at, coalesce(sum(e.amount), 0)::bigint as amount
        from asked k
        left join allocations b on b.account_id = k.account_id
                               and b.period_start < k.start_at
                               and b.period_end between k.start_at - ${SLACK} and k.start_at
                               and b.grant_seq is not null
        left join lateral (
          select -sum((p ->> 1)::bigint) as amount
            from ledger_rows t, jsonb_array_elements(t.parts) p
           where t.account_id = b.account_id
             and t.seq > greatest(b.grant_seq,
                                  ledger_seq_at(b.account_id, b.period_end - interval '1 ms'))
             and t.type = 'expire'
             and (p ->> 0)::bigint = b.grant_seq) e on true
       group by 1, 2, 3
    )
    update allocations a
       set rolled_over = coalesce(a.rolled_over, least(a.rollover_max, e.amount))
      from expired e
     where a.account_id = e.account_id
       and a.plan_id = e.plan_id
       and a.period_start = e.start_at
    returning a.account_id, a.plan_id, to_ms(a.period_start) as start_ms,
              to_ms(a.period_end) as end_ms, a.tier, a.credits, a.bonus, a.rollover_max,
              a.rolled_over`)
  return rows.map(openOf)
}

const SLACK = sql.raw(`interval '${SLACK_MS / 1000} seconds'`)

/** How an attempt to write one to the ledger ended. */
export type Written = {
  readonly allocation: Allocation
  /** The monthly lot; null: there was none to be made. */
  readonly grantSeq: number | null
  /** Why there never will be one. */
  readonly refusal: string | null
}

export async function markDone(
  on: NodePgDatabase,
  written: readonly Written[],
  nowMs: number,
): Promise<void> {
  if (written.length === 0) return
  const done = written.map(({ allocation, grantSeq, refusal }) => ({
    ...rowOf(allocation),
    grant_seq: grantSeq,
    refusal,
  }))
  await on.execute(sql`
    update allocations a
       set grant_seq = n.grant_seq, last_error = n.refusal, done_at = from_ms(${nowMs}),
           next_attempt_at = null
      from jsonb_to_recordset(${JSON.stringify(done)}::jsonb) n (
             account_id text, plan_id text, start_ms bigint, grant_seq bigint, refusal text)
     where a.account_id = n.account_id
       and a.plan_id = n.plan_id
       and a.period_start = from_ms(n.start_ms)
       and a.done_at is null`)
}

/** It is tried again: after 2^n seconds, at most an hour. */
export async function postpone(
  on: NodePgDatabase,
  { accountId, planId, period }: Allocation,
  { message, nowMs }: { message: string; nowMs: number },
): Promise<void> {
  await on.execute(sql`
    update allocations
       set attempts = least(attempts + 1, 100), last_error = left(${message}, 500),
           next_attempt_at = from_ms(
             (${nowMs} + least(1000 * 2 ^ least(attempts, 20), ${MAX_RETRY_MS}))::bigint)
     where account_id = ${accountId}
       and plan_id = ${planId}
       and period_start = from_ms(${period.startMs})
       and done_at is null`)
}

const openOf = (row: Row): OpenAllocation => ({
  accountId: row.account_id,
  planId: row.plan_id,
  period: { startMs: row.start_ms, endMs: row.end_ms } satisfies Period,
  tier: row.tier,
  credits: row.credits,
  bonus: row.bonus,
  rolloverMax: row.rollover_max,
  rolledOver: row.rolled_over,
})

const rowOf = (allocation: Allocation): Omit<Row, 'rolled_over'> => ({
  account_id: allocation.accountId,
  plan_id: allocation.planId,
  start_ms: allocation.period.startMs,
  end_ms: allocation.period.endMs,
  tier: allocation.tier,
  credits: allocation.credits,
  bonus: allocation.bonus,
  rollover_max: allocation.rolloverMax,
})
