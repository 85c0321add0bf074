import type { Reader } from '../db/reader.js'
import { AppError } from '../errors.js'

export type UsageQuery = {
  readonly accountId: string
  readonly fromMs: number | null
  readonly toMs: number | null
  readonly groupBy: 'action' | 'day'
}

/** Credits spent and given back in one group; `group` is the action, or the UTC day. */
export type UsageGroup = {
  readonly group: string | null
  readonly charged: number
  readonly refunded: number
  readonly count: number
}

/**
 * The rows that a report is made of: those after `afterSeq` up to `lastSeq`. Rows are never
 * changed, so within an epoch (a restore begins another) the same rows make the same report.
 */
export type UsageRows = {
  readonly epoch: string
  readonly accountId: string
  readonly afterSeq: number
  readonly lastSeq: number
  readonly groupBy: 'action' | 'day'
}

/** Remembers reports by the rows they were made of; it may forget any of them at any time. */
export type UsageMemory = {
  find(rows: UsageRows): Promise<readonly UsageGroup[] | null>
  keep(rows: UsageRows, groups: readonly UsageGroup[]): void
}

/** Ten years of days, or more actions than a price list has. */
const MAX_USAGE_GROUPS = 10_000

const PERIOD = `
  select c.epoch,
         case when $2::bigint is null then 0
              else ledger_seq_at($1, from_ms($2 - 1)) end as "afterSeq",
         ledger_seq_at($1, from_ms($3)) as "lastSeq"
    from control c`

const usageBy = (group: string): string => `
  select json_build_object('group', u.unit, 'charged', u.charged, 'refunded', u.refunded,
                           'count', u.count) as value
    from (
      select ${group} as unit,
             coalesce(-sum(t.amount) filter (where t.type <> 'refund'), 0) as charged,
             coalesce(sum(t.amount) filter (where t.type = 'refund'), 0) as refunded,
             count(*) filter (where t.type <> 'refund') as count
        from ledger_rows t
       where t.account_id = $1
         and t.seq > $2
         and t.seq <= $3
         and t.type in ('charge', 'capture', 'refund')
       group by 1
       order by 1
       limit ${MAX_USAGE_GROUPS + 1}) u`

const USAGE = {
  action: usageBy('t.action'),
  day: usageBy("to_char(t.created_at at time zone 'UTC', 'YYYY-MM-DD')"),
}

/** All groups of a period; none for an account that does not exist. */
export async function readUsage(
  reader: Reader,
  { accountId, fromMs, toMs, groupBy }: UsageQuery,
  memory: UsageMemory | undefined,
): Promise<readonly UsageGroup[]> {
  const { rows: periods } = await reader.query<Pick<UsageRows, 'epoch' | 'afterSeq' | 'lastSeq'>>(
    { text: PERIOD },
    [accountId, fromMs, toMs],
  )
  const [period] = periods
  if (!period || period.lastSeq <= period.afterSeq) return []
  const named = { ...period, accountId, groupBy }
  const known = await memory?.find(named)
  if (known) return known
  const { rows } = await reader.query<{ value: UsageGroup }>({ text: USAGE[groupBy] }, [
    accountId,
    period.afterSeq,
    period.lastSeq,
  ])
  const groups = complete(rows.map(({ value }) => value))
  memory?.keep(named, groups)
  return groups
}

/** A part of the groups would pass for all of them, and its sum for the total. */
function complete(groups: readonly UsageGroup[]): readonly UsageGroup[] {
  if (groups.length <= MAX_USAGE_GROUPS) return groups
  const message = `The usage has more than ${MAX_USAGE_GROUPS} groups: ask for a shorter period`
  throw new AppError('limit_exceeded', message, { limit: MAX_USAGE_GROUPS })
}
