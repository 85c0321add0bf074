-- The outbox: written by ledger_append with the rows it tells of. An event gets its position in the
-- feed, over all accounts and within its own, once it is committed; later it is pruned. No foreign
-- key: what happened to an account may have to be told although it was never opened.
create table events (
  account_id text not null,
  id text not null,
  type text not null,
  data jsonb not null,
  created_at timestamp (3) with time zone not null,
  position bigint,
  account_seq bigint,
  constraint events_account_id_id_pk primary key (account_id, id)
);
--> statement-breakpoint
create unique index events_position on events (position) where position is not null;
--> statement-breakpoint
create index events_account on events (account_id, position) where position is not null;
--> statement-breakpoint
create index events_waiting on events (created_at, account_id) where position is null;
--> statement-breakpoint
-- Whoever looks for those that wait must not wade through the many that waited once.
alter table events set (autovacuum_vacuum_scale_factor = 0.05);
--> statement-breakpoint
-- What was clawed back of a grant is kept as what was refunded of a charge; what is reinstated,
-- as a negative amount.
alter table refunds drop constraint refunds_amount_positive;
--> statement-breakpoint
alter table refunds add constraint refunds_amount_not_zero check (amount <> 0);
--> statement-breakpoint
create type ledger_event as (
  account_id text, id text, type text, data jsonb, created_ms bigint);
--> statement-breakpoint
-- The one with 12 parameters makes room: calls with 12, of instances that are still of the release
-- before, find the new one by its default. Two of one name would leave it open which is meant.
drop function ledger_append;
--> statement-breakpoint
-- As in 0003, and the events.
create function ledger_append(
  p_epoch uuid, p_now bigint, p_ids text[], p_bases bigint[], p_keys ledger_key[],
  p_accounts ledger_account[], p_rows ledger_row[], p_lots ledger_lot[],
  p_lot_changes ledger_lot_change[], p_holds ledger_hold[], p_refunds ledger_refund[],
  p_work ledger_work[], p_events ledger_event[] default '{}',
  out status text, out refused text[], out reasons text[], out now_ms bigint
)
language plpgsql
set search_path from current
-- Statistics of a young or a fast-growing table mislead the planner; the plan is always the same.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
-- Rows of accounts are never waited for; should anything else be locked, then not for long.
set lock_timeout = '250ms'
as $$
declare
  locked_ids text[];
  locked_versions bigint[];
  known_ids text[] := p_ids;
  known_bases bigint[] := p_bases;
  created_ids text[];
  used text[];
  gate control%rowtype;
  archived boolean;
begin
  refused := '{}';
  reasons := '{}';

  -- 1. Lock, in the order of the ids; what somebody else holds is skipped, not waited for.
  select coalesce(array_agg(l.id), '{}'), coalesce(array_agg(l.version), '{}'),
         coalesce(bool_or(l.has_archive), false)
    into locked_ids, locked_versions, archived
    from (
      select a.id, a.version, a.has_archive
        from accounts a
       where a.id = any (p_ids)
       order by a.id collate "C"
         for update skip locked
    ) l;

  -- 2. Only now, in statements of their own: a statement that met a lock keeps its old snapshot.
  select * into gate from control where id = 1;
  now_ms := to_ms(clock_timestamp());
  status := case
    when gate.epoch is distinct from p_epoch then 'epoch'
    when not gate.writable then 'gate'
    when abs(now_ms - p_now) > 1000 then 'clock'
    else 'ok'
  end;
  if status <> 'ok' then
    return;
  end if;

  if 0 = any (p_bases) then
    with opened as (
      insert into accounts (id, version, seq, balance, held, debt, status, created_at, updated_at)
      select n.id, 0, 0, 0, 0, 0, 'active', from_ms(n.created_ms), from_ms(n.created_ms)
        from unnest(p_accounts) n
       where n.base = 0
      on conflict (id) do nothing
      returning id
    )
    select coalesce(array_agg(id), '{}') into created_ids from opened;
    select coalesce(array_agg(n.id), '{}') into refused
      from unnest(p_ids, p_bases) n (id, base)
     where n.base = 0 and n.id <> all (created_ids);
    reasons := array_fill('moved'::text, array[cardinality(refused)]);
    select coalesce(array_agg(n.id), '{}'), coalesce(array_agg(n.base), '{}')
      into known_ids, known_bases
      from unnest(p_ids, p_bases) n (id, base)
     where n.base > 0;
  end if;

  -- 3. Refuse what moved. The arrays are equal in the usual case, which costs nothing to see.
  if locked_ids <> known_ids or locked_versions <> known_bases then
    select refused || coalesce(array_agg(n.id), '{}'),
           reasons || coalesce(array_agg(case when l.id is null then 'busy' else 'moved' end), '{}')
      into refused, reasons
      from unnest(known_ids, known_bases) n (id, base)
      left join unnest(locked_ids, locked_versions) l (id, version) on l.id = n.id
     where l.id is null or l.version <> n.base;
  end if;

  -- 4. Refuse the accounts of which a key was used before. A join and not `exists`: that could be
  -- planned as a hash over the whole table while the statistics still say it is empty.
  if cardinality(p_keys) > 0 then
    select coalesce(array_agg(distinct t.account_id), '{}') into used
      from unnest(p_keys) k
      join transactions t on t.account_id = k.account_id and t.key = k.key
     where k.account_id <> all (refused);
    if archived then
      select used || coalesce(array_agg(distinct t.account_id), '{}') into used
        from unnest(p_keys) k
        join transactions_archive t on t.account_id = k.account_id and t.key = k.key
       where k.account_id <> all (refused || used);
    end if;
    if cardinality(used) > 0 then
      refused := refused || used;
      reasons := reasons || array_fill('key'::text, array[cardinality(used)]);
    end if;
  end if;

  -- 5. Write the rest, one statement a table.
  update accounts a
     set version = n.version, seq = n.seq, balance = n.balance, held = n.held, debt = n.debt,
         status = n.status, tier = n.tier, tier_expires_at = from_ms(n.tier_expires_ms),
         updated_at = from_ms(n.updated_ms)
    from unnest(p_accounts) n
   where a.id = n.id
     and n.id <> all (refused);

  if cardinality(p_rows) > 0 then
    insert into transactions (
      account_id, seq, type, action, amount, balance_after, held_after, debt_after, parts, key,
      digest, actor, request_id, detail, metadata, created_at)
    select n.account_id, n.seq, n.type, n.action, n.amount, n.balance_after, n.held_after,
           n.debt_after, n.parts, n.key, n.digest, n.actor, n.request_id, n.detail, n.metadata,
           from_ms(n.created_ms)
      from unnest(p_rows) n
     where n.account_id <> all (refused);
  end if;

  if cardinality(p_lots) > 0 then
    insert into grants (
      account_id, grant_seq, amount, remaining, held, priority, expires_at, is_revoked, live,
      source, created_at)
    select n.account_id, n.grant_seq, n.amount, n.remaining, n.held, n.priority,
           from_ms(n.expires_ms), n.is_revoked, n.remaining > 0, n.source, from_ms(n.created_ms)
      from unnest(p_lots) n
     where n.account_id <> all (refused);
  end if;

  if cardinality(p_lot_changes) > 0 then
    update grants g
       set remaining = n.remaining, held = n.held, is_revoked = n.is_revoked,
           live = n.remaining > 0
      from unnest(p_lot_changes) n
     where g.account_id = n.account_id
       and g.grant_seq = n.grant_seq
       and n.account_id <> all (refused);
  end if;

  if cardinality(p_holds) > 0 then
    insert into holds as h (
      account_id, hold_seq, amount, captured, settled_seq, expires_at, status, action, parts,
      created_at)
    select n.account_id, n.hold_seq, n.amount, n.captured, n.settled_seq, from_ms(n.expires_ms),
           n.status, n.action, n.parts, from_ms(n.created_ms)
      from unnest(p_holds) n
     where n.account_id <> all (refused)
    on conflict (account_id, hold_seq) do update
       set captured = excluded.captured, settled_seq = excluded.settled_seq,
           expires_at = excluded.expires_at, status = excluded.status;
  end if;

  if cardinality(p_refunds) > 0 then
    insert into refunds (account_id, charge_seq, refund_seq, amount)
    select n.account_id, n.charge_seq, n.refund_seq, n.amount
      from unnest(p_refunds) n
     where n.account_id <> all (refused);
  end if;

  if cardinality(p_work) > 0 then
    insert into pending_work (account_id, id, kind, payload, created_at, next_attempt_at)
    select n.account_id, n.id, n.kind, n.payload, from_ms(p_now), from_ms(p_now)
      from unnest(p_work) n
     where n.account_id <> all (refused);
  end if;

  if cardinality(p_events) > 0 then
    insert into events (account_id, id, type, data, created_at)
    select n.account_id, n.id, n.type, n.data, from_ms(n.created_ms)
      from unnest(p_events) n
     where n.account_id <> all (refused);
  end if;
end
$$;
--> statement-breakpoint
-- What became of a grant: what claw-backs took for it and did not return, as credits or debt; the
-- part that came from the grant itself; and what left it unused. Only a grant that can expire, or was
-- revoked, can have left rows of that: for all others its account's rows are not gone through.
create function ledger_grant_past(g grants) returns json
language sql stable
return (
  select json_build_object('taken', p.taken, 'takenFromGrant', p.own, 'lapsed', (
           select coalesce(-sum((e ->> 1)::bigint), 0)
             from ledger_rows l, jsonb_array_elements(l.parts) e
            where (g.is_revoked or g.expires_at is not null)
              and l.account_id = g.account_id
              and l.seq > g.grant_seq
              and l.type in ('expire', 'revoke')
              and (e ->> 0)::bigint = g.grant_seq))
    from (
      select coalesce(sum(case when b.type = 'claw_back' then (b.detail ->> 'debt')::bigint
                               else 0 end - b.amount), 0) as taken,
             coalesce(sum((
               select -sum((e ->> 1)::bigint) from jsonb_array_elements(b.parts) e
                where (e ->> 0)::bigint = g.grant_seq)), 0) as own
        from refunds r
        join ledger_rows b on b.account_id = r.account_id and b.seq = r.refund_seq
       where r.account_id = g.account_id
         and r.charge_seq = g.grant_seq) p);
--> statement-breakpoint
-- As in 0003, and what became of a grant, beside its first row: claw-backs refer to it.
create or replace function ledger_load(
  p_ids text[], p_keys ledger_key[], p_charges ledger_part[], p_holds ledger_part[],
  p_lots ledger_part[]
) returns json
language plpgsql stable
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return (
    select json_build_object(
      'epoch', c.epoch,
      'nowMs', to_ms(clock_timestamp()),
      'accounts', (
        select coalesce(json_agg(json_build_object(
                 'accountId', a.id, 'version', a.version, 'seq', a.seq, 'balance', a.balance,
                 'held', a.held, 'debt', a.debt, 'status', a.status, 'tier', a.tier,
                 'tierExpiresAtMs', to_ms(a.tier_expires_at), 'createdAtMs', to_ms(a.created_at),
                 'updatedAtMs', to_ms(a.updated_at), 'hasArchive', a.has_archive,
                 'lots', (
                   select coalesce(json_agg(ledger_lot_json(g)), '[]')
                     from grants g
                    where g.account_id = a.id and g.live),
                 'holds', (
                   select coalesce(json_agg(ledger_hold_json(h) order by h.hold_seq), '[]')
                     from holds h
                    where h.account_id = a.id and h.status = 'active'))), '[]')
          from accounts a
         where a.id = any (p_ids)),
      'rows', (
        select coalesce(json_agg(ledger_row_json(t)), '[]')
          from unnest(p_keys) k
          join ledger_rows t on t.account_id = k.account_id and t.key = k.key),
      'charges', (
        select coalesce(json_agg(json_build_object(
                 'row', ledger_row_json(t),
                 'refunded', (
                   select coalesce(sum(r.amount), 0) from refunds r
                    where r.account_id = t.account_id and r.charge_seq = t.seq),
                 'past', (
                   select ledger_grant_past(g) from grants g
                    where g.account_id = t.account_id and g.grant_seq = t.seq),
                 'lots', (
                   select coalesce(json_agg(ledger_lot_json(g)), '[]')
                     from jsonb_array_elements(t.parts) p
                     join grants g on g.account_id = t.account_id
                                  and g.grant_seq = (p ->> 0)::bigint))), '[]')
          from unnest(p_charges) k
          join ledger_rows t on t.account_id = k.account_id and t.seq = k.seq),
      'holds', (
        select coalesce(json_agg(json_build_object(
                 'accountId', h.account_id, 'hold', ledger_hold_json(h))), '[]')
          from unnest(p_holds) k
          join holds h on h.account_id = k.account_id and h.hold_seq = k.seq),
      'lots', (
        select coalesce(json_agg(json_build_object(
                 'accountId', g.account_id, 'lot', ledger_lot_json(g))), '[]')
          from unnest(p_lots) k
          join grants g on g.account_id = k.account_id and g.grant_seq = k.seq))
      from control c
     where c.id = 1);
end
$$;
--> statement-breakpoint
-- As in 0006, and the two kinds that came since. An allocation is told by what it brought.
create or replace view credit_transactions as
select t.account_id || ':' || t.seq as id, t.account_id as user_id,
       case
         when t.type in ('charge', 'capture', 'transfer_out', 'debt_payment') then 'spent'
         when t.type in ('refund', 'transfer_return', 'claw_back', 'reinstate') then 'refunded'
         when t.type in ('expire', 'revoke') then 'expired'
         when t.type = 'adjustment' and t.amount < 0 then 'spent'
         when t.parts -> 0 ->> 2 = 'monthly' then 'earned'
         when t.parts -> 0 ->> 2 = 'purchased' then 'purchased'
         else 'bonus'
       end as type,
       t.amount, t.balance_after - t.amount as balance_before, t.balance_after,
       'completed'::text as status, t.type as ledger_type, t.action as description,
       t.metadata, t.created_at
  from ledger_rows t
 where t.amount <> 0;
