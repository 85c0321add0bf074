-- The tables that hand-written credit systems have, as views over the ledger. In user_credits
-- balance = monthly_allocation + purchased_credits - spent_credits: whatever is not a monthly
-- allocation counts as purchased, and whatever left (expiry too, less refunds) as spent.
create view user_credits as
select a.id as user_id, a.balance,
       coalesce(g.monthly, 0) as monthly_allocation,
       coalesce(g.other, 0) as purchased_credits,
       coalesce(g.monthly + g.other, 0) - a.balance as spent_credits,
       a.held as held_credits, a.debt, a.tier as membership_tier, a.status,
       a.created_at, a.updated_at
  from accounts a
  left join lateral (
    select coalesce(sum(l.amount) filter (where l.source = 'monthly'), 0)::bigint as monthly,
           coalesce(sum(l.amount) filter (where l.source <> 'monthly'), 0)::bigint as other
      from grants l
     where l.account_id = a.id) g on true;
--> statement-breakpoint
create view credit_transactions as
select t.account_id || ':' || t.seq as id, t.account_id as user_id,
       case
         when t.type in ('charge', 'capture', 'transfer_out', 'debt_payment') then 'spent'
         when t.type in ('refund', 'transfer_return') then 'refunded'
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
