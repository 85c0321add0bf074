import type { Reader } from '../db/reader.js'

/** One way in which an account's books do not agree. */
export type Mismatch = {
  readonly accountId: string
  readonly check: string
  readonly expected: string
  readonly actual: string
}

export type Verification = {
  /** Accounts looked at. */
  readonly accounts: number
  /** At most 1,000 of them; with the last that fits the search ends. */
  readonly mismatches: readonly Mismatch[]
}

export type VerifyOptions = {
  /** Ends the search of all accounts between two slices; `verify` then throws its reason. */
  readonly signal?: AbortSignal | undefined
  readonly sliceAccounts?: number
}

const MAX_MISMATCHES = 1000
/** Accounts in one statement: its cost and its snapshot stay bounded, however many there are. */
const SLICE_ACCOUNTS = 1000

/**
 * Reads the books of one account, or of all, and names each disagreement: the balance against
 * the rows, the chain of rows, the lots, the holds, the refunds, claw-backs and debt. Each account
 * is read in one snapshot, all of them in slices. Archived rows count, and so does what belongs to
 * no account. Changes nothing.
 */
export async function verify(
  reader: Reader,
  accountId: string | null,
  { signal, sliceAccounts = SLICE_ACCOUNTS }: VerifyOptions = {},
): Promise<Verification> {
  if (accountId !== null) return look(reader, VERIFY_ONE, [accountId, MAX_MISMATCHES])
  const mismatches: Mismatch[] = []
  let accounts = 0
  let after: string | null = null
  do {
    signal?.throwIfAborted()
    const last: string | null = await lastOfSlice(reader, after, sliceAccounts)
    const room = MAX_MISMATCHES - mismatches.length
    const found = await look(reader, VERIFY_SLICE, [after, room, last])
    accounts += found.accounts
    mismatches.push(...found.mismatches)
    after = last
  } while (after !== null && mismatches.length < MAX_MISMATCHES)
  return { accounts, mismatches }
}

async function look(reader: Reader, text: string, values: unknown[]): Promise<Verification> {
  const { rows } = await reader.query<{ accounts: number; mismatches: Mismatch[] | null }>({
    text,
    values,
  })
  const [found] = rows
  return { accounts: found?.accounts ?? 0, mismatches: found?.mismatches ?? [] }
}

/** Null for the last slice: it has no end, for rows of no account may lie beyond all accounts. */
async function lastOfSlice(reader: Reader, after: string | null, sliceAccounts: number) {
  const { rows } = await reader.query<{ id: string }>({
    text: `
      select id from accounts
       where $1::text is null or id > $1
       order by id
      offset $2 limit 1`,
    values: [after, sliceAccounts - 1],
  })
  return rows[0]?.id ?? null
}

/** The condition that the account of a row is one of those to look at. */
type Within = (accountId: string) => string

const rowsOf = (within: Within) => `
  select t.account_id, t.seq, t.key, t.type, t.amount, t.balance_after, t.held_after, t.debt_after,
         t.parts, t.detail, t.created_at,
         lag(t.balance_after, 1, 0::bigint) over w as balance_before,
         lag(t.seq, 1, 0::bigint) over w as seq_before,
         lag(t.created_at) over w as created_before,
         lag(t.debt_after, 1, 0::bigint) over w as debt_before,
         case when t.type in ('claw_back', 'reinstate')
              then (t.detail ->> 'clawedBack')::bigint end as clawed_back,
         case t.type when 'claw_back' then (t.detail ->> 'debt')::bigint
                     when 'debt_payment' then t.amount else 0 end as debt_change,
         row_number() over (partition by t.account_id order by t.seq desc) = 1 as is_last,
         (select sum((p ->> 1)::bigint) from jsonb_array_elements(t.parts) p) as parts_sum
    from ledger_rows t
   where ${within('t.account_id')}
  window w as (partition by t.account_id order by t.seq)`

const SUMS = `
  select r.account_id, count(*) as rows, sum(r.amount) as amount,
         count(*) filter (where r.balance_after <> r.balance_before + r.amount) as broken,
         count(*) filter (where r.seq <> r.seq_before + 1) as gaps,
         sum(r.amount) filter (where r.type = 'refund') as refunded,
         sum(r.clawed_back) filter (where r.detail ? 'grantSeq') as clawed_back,
         count(*) filter (
           where r.debt_after is distinct from r.debt_before + r.debt_change) as indebted,
         count(*) filter (where case r.type
           when 'claw_back' then (r.debt_change - r.amount between 0 and r.clawed_back) is not true
           when 'reinstate' then (r.amount between 0 and -r.clawed_back) is not true
           end) as overdone,
         count(*) filter (where r.created_at < r.created_before) as backwards,
         count(r.key) - count(distinct r.key) as repeated,
         count(*) filter (where r.amount <> 0 and r.parts_sum is distinct from r.amount) as unpaid,
         max(r.balance_after) filter (where r.is_last) as last_balance,
         max(r.held_after) filter (where r.is_last) as last_held,
         max(r.debt_after) filter (where r.is_last) as last_debt
    from rows r
   group by r.account_id`

const lotsOf = (within: Within) => `
  select g.account_id, sum(g.remaining) as remaining, sum(g.held) as held,
         count(*) filter (where g.remaining <> coalesce(m.moved, 0)) as unmatched,
         count(*) filter (where m.given is distinct from g.amount) as misgiven,
         count(*) filter (where g.held <> coalesce(h.held, 0)) as unheld
    from grants g
    left join (
      select r.account_id, (p ->> 0)::bigint as grant_seq, sum((p ->> 1)::bigint) as moved,
             sum((p ->> 1)::bigint) filter (where r.seq = (p ->> 0)::bigint) as given
        from rows r, jsonb_array_elements(r.parts) p
       where r.amount <> 0
       group by 1, 2) m using (account_id, grant_seq)
    left join (
      select a.account_id, (p ->> 0)::bigint as grant_seq, sum((p ->> 1)::bigint) as held
        from holds a, jsonb_array_elements(a.parts) p
       where a.status = 'active' and ${within('a.account_id')}
       group by 1, 2) h using (account_id, grant_seq)
   where ${within('g.account_id')}
   group by g.account_id`

const holdsOf = (within: Within) => `
  select h.account_id, sum(h.amount) filter (where h.status = 'active') as held,
         count(*) filter (where h.status <> 'active' and r.seq is null) as unsettled,
         count(*) filter (
           where h.captured <> case when r.type = 'capture' then -r.amount else 0 end
         ) as miscaptured
    from holds h
    left join ledger_rows r on r.account_id = h.account_id and r.seq = h.settled_seq
                    and ${within('r.account_id')}
                    and r.type = case h.status when 'captured' then 'capture'
                          when 'released' then 'release' else 'hold_expire' end
   where ${within('h.account_id')}
   group by h.account_id`

/** Refunds of charges and claw-backs of grants; which of them one is, its row tells. */
const refundsOf = (within: Within) => `
  select f.account_id,
         count(*) filter (where not is_claw_back and f.amount > coalesce(c.spent, 0)) as exceeding,
         sum(f.amount) filter (where not is_claw_back) as amount,
         count(*) filter (where is_claw_back and f.amount not between 0 and coalesce(g.amount, -1))
           as overtaken,
         sum(f.told) as told
    from (
      select r.account_id, r.charge_seq, sum(r.amount) as amount,
             coalesce(b.type in ('claw_back', 'reinstate'), false) as is_claw_back,
             sum(r.amount) filter (
               where (b.detail ->> 'grantSeq')::bigint = r.charge_seq) as told
        from refunds r
        left join ledger_rows b on b.account_id = r.account_id and b.seq = r.refund_seq
                        and ${within('b.account_id')}
       where ${within('r.account_id')}
       group by 1, 2, 4) f
    left join lateral (
      select -c.amount as spent from ledger_rows c
       where c.account_id = f.account_id and c.seq = f.charge_seq
         and c.type in ('charge', 'capture')) c on true
    left join grants g on g.account_id = f.account_id and g.grant_seq = f.charge_seq
   group by f.account_id`

const check = (name: string, expected: string, actual: string): string =>
  `('${name}', (${expected})::text, (${actual})::text)`

const CHECKS = [
  check('balance_is_sum_of_rows', 'coalesce(s.amount, 0)', 'a.balance'),
  check('seq_counts_rows', 'coalesce(s.rows, 0)', 'a.seq'),
  check('rows_without_gaps', '0', 'coalesce(s.gaps, 0)'),
  check('keys_used_once', '0', 'coalesce(s.repeated, 0)'),
  check('rows_chain', '0', 'coalesce(s.broken, 0)'),
  check('time_never_goes_back', '0', 'coalesce(s.backwards, 0)'),
  check('parts_add_up', '0', 'coalesce(s.unpaid, 0)'),
  check('last_row_has_balance', 'coalesce(s.last_balance, 0)', 'a.balance'),
  check('last_row_has_held', 'coalesce(s.last_held, 0)', 'a.held'),
  check('last_row_has_debt', 'coalesce(s.last_debt, 0)', 'a.debt'),
  check('balance_is_sum_of_grants', 'coalesce(l.remaining, 0)', 'a.balance'),
  check('grants_have_their_amount', '0', 'coalesce(l.misgiven, 0)'),
  check('grants_match_rows', '0', 'coalesce(l.unmatched, 0)'),
  check('held_is_sum_of_grants', 'coalesce(l.held, 0)', 'a.held'),
  check('held_is_sum_of_holds', 'coalesce(h.held, 0)', 'a.held'),
  check('grants_match_holds', '0', 'coalesce(l.unheld, 0)'),
  check('holds_settled_by_a_row', '0', 'coalesce(h.unsettled, 0)'),
  check('captures_match_rows', '0', 'coalesce(h.miscaptured, 0)'),
  check('refunds_within_charges', '0', 'coalesce(f.exceeding, 0)'),
  check('refunds_match_rows', 'coalesce(s.refunded, 0)', 'coalesce(f.amount, 0)'),
  check('claw_backs_within_grants', '0', 'coalesce(f.overtaken, 0)'),
  check('claw_backs_match_rows', 'coalesce(s.clawed_back, 0)', 'coalesce(f.told, 0)'),
  check('claw_backs_take_no_more', '0', 'coalesce(s.overdone, 0)'),
  check('debt_follows_rows', '0', 'coalesce(s.indebted, 0)'),
  check('nothing_below_zero', 'true', 'least(a.balance, a.held, a.debt, a.balance - a.held) >= 0'),
].join(',\n    ')

const verifyWithin = (within: Within) => `
  with rows as materialized (${rowsOf(within)}), sums as (${SUMS}), lots as (${lotsOf(within)}),
  held as (${holdsOf(within)}), refunded as (${refundsOf(within)}), owners as (
    select account_id from sums union select account_id from lots
    union select account_id from held union select account_id from refunded), found as (
    select a.id as account_id, c.name, c.expected, c.actual
      from accounts a
      left join sums s on s.account_id = a.id
      left join lots l on l.account_id = a.id
      left join held h on h.account_id = a.id
      left join refunded f on f.account_id = a.id
     cross join lateral (values
    ${CHECKS}) c (name, expected, actual)
     where ${within('a.id')} and c.expected is distinct from c.actual
    union all
    select o.account_id, 'account_exists', 'true', 'false'
      from owners o
     where not exists (select from accounts a where a.id = o.account_id)
     order by 1, 2
     limit $2)
  select (select count(*)::int from accounts where ${within('id')}) as accounts,
         (select json_agg(json_build_object('accountId', account_id, 'check', name,
                                            'expected', expected, 'actual', actual))
            from found) as mismatches`

const VERIFY_ONE = verifyWithin((id) => `${id} = $1`)
const VERIFY_SLICE = verifyWithin(
  (id) => `($1::text is null or ${id} > $1) and ($3::text is null or ${id} <= $3)`,
)
