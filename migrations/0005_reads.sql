-- The last row at or before an instant; 0 when there is none. Rows of an account lie gap-free by
-- seq and never go back in time, so halving finds it: no index on the time is needed.
create function ledger_seq_at(p_account text, p_at timestamptz) returns bigint
language plpgsql stable
set search_path from current
set plan_cache_mode = force_generic_plan
as $$
declare
  low bigint := 0;
  high bigint;
  middle bigint;
  at timestamptz;
begin
  select a.seq into high from accounts a where a.id = p_account;
  if p_at is null or high is null then
    return coalesce(high, 0);
  end if;
  while low < high loop
    middle := (low + high + 1) / 2;
    select t.created_at into at from ledger_rows t
     where t.account_id = p_account and t.seq = middle;
    if at <= p_at then
      low := middle;
    else
      high := middle - 1;
    end if;
  end loop;
  return low;
end
$$;
--> statement-breakpoint
-- An account as its rows left it at an instant, in the shape of ledger_load; null when it
-- had not been opened then. What was due and not yet written the caller works out by the rules.
create function ledger_state_at(p_account text, p_at timestamptz) returns json
language sql stable
set search_path from current
begin atomic
with last_row as (
  select ledger_seq_at(p_account, p_at) as seq
), held as (
  select h.hold_seq, h.parts, ledger_hold_json(h) as hold
    from holds h, last_row n
   where h.account_id = p_account
     and h.hold_seq <= n.seq
     and (h.settled_seq is null or h.settled_seq > n.seq)
), held_parts as (
  select (p ->> 0)::bigint as grant_seq, sum((p ->> 1)::bigint) as amount
    from held h, jsonb_array_elements(h.parts) p
   group by 1
), moved as (
  select (p ->> 0)::bigint as grant_seq, sum((p ->> 1)::bigint) as remaining
    from last_row n
    join ledger_rows t on t.account_id = p_account and t.seq <= n.seq and t.amount <> 0,
         jsonb_array_elements(t.parts) p
   group by 1
), lots as (
  select json_build_object(
           'grantSeq', g.grant_seq, 'source', g.source, 'amount', g.amount,
           'remaining', m.remaining, 'held', coalesce(hp.amount, 0), 'priority', g.priority,
           'expiresAtMs', to_ms(g.expires_at), 'createdAtMs', to_ms(g.created_at),
           'isRevoked', g.is_revoked and exists (
             select from last_row n
               join ledger_rows t on t.account_id = p_account and t.seq <= n.seq
              where t.type = 'revoke' and (t.detail ->> 'grantSeq')::bigint = g.grant_seq)) as lot
    from moved m
    join grants g on g.account_id = p_account and g.grant_seq = m.grant_seq
    left join held_parts hp on hp.grant_seq = m.grant_seq
   where m.remaining > 0
)
select json_build_object(
         'accountId', a.id, 'version', a.version, 'seq', n.seq,
         'balance', coalesce(t.balance_after, 0), 'held', coalesce(t.held_after, 0),
         'debt', coalesce(t.debt_after, 0), 'status', a.status, 'tier', a.tier,
         'tierExpiresAtMs', to_ms(a.tier_expires_at), 'createdAtMs', to_ms(a.created_at),
         'updatedAtMs', to_ms(coalesce(t.created_at, a.created_at)),
         'hasArchive', a.has_archive,
         'lots', (select coalesce(json_agg(l.lot), '[]') from lots l),
         'holds', (select coalesce(json_agg(h.hold order by h.hold_seq), '[]') from held h))
  from accounts a
 cross join last_row n
  left join ledger_rows t on t.account_id = a.id and t.seq = n.seq
 where a.id = p_account
   and a.created_at <= p_at;
end;
