-- Plans: how many credits a month, of which tier, and how they are sold. A tier is a name only, as
-- in prices and accounts: an operator may replace them all.
create table subscription_credit_config (
  id text primary key,
  tier text not null,
  name text not null,
  description text,
  monthly_credits bigint not null,
  rollover_enabled boolean not null default false,
  rollover_max bigint not null default 0,
  bonus_percentage integer not null default 0,
  trial_credits boolean not null default false,
  stripe_price_id text,
  creem_price_id text,
  active boolean not null default true,
  sort_order integer not null default 0,
  created_at timestamp (3) with time zone not null,
  updated_at timestamp (3) with time zone not null,
  constraint plans_monthly_credits_in_range check (monthly_credits between 0 and 1000000000000),
  constraint plans_rollover_max_in_range check (rollover_max between 0 and 1000000000000),
  constraint plans_bonus_percentage_in_range check (bonus_percentage between 0 and 1000)
);
--> statement-breakpoint
create unique index plans_stripe_price on subscription_credit_config using btree (stripe_price_id)
  where stripe_price_id is not null;
--> statement-breakpoint
create unique index plans_creem_price on subscription_credit_config using btree (creem_price_id)
  where creem_price_id is not null;
--> statement-breakpoint
-- The one subscription of an account. `next_allocation_at` is when the job looks at it next; null:
-- not by itself.
create table subscriptions (
  account_id text primary key,
  plan_id text not null
    constraint subscriptions_plan_id_subscription_credit_config_id_fk
    references subscription_credit_config (id),
  next_plan_id text
    constraint subscriptions_next_plan_id_subscription_credit_config_id_fk
    references subscription_credit_config (id),
  next_plan_at timestamp (3) with time zone,
  status text not null,
  provider text,
  provider_subscription_id text,
  anchor_at timestamp (3) with time zone not null,
  paid_until timestamp (3) with time zone,
  ends_at timestamp (3) with time zone,
  next_allocation_at timestamp (3) with time zone,
  created_at timestamp (3) with time zone not null,
  updated_at timestamp (3) with time zone not null,
  constraint subscriptions_status_known
    check (status in ('active', 'trialing', 'past_due', 'unpaid', 'paused', 'canceled')),
  constraint subscriptions_provider_whole
    check ((provider is null) = (provider_subscription_id is null)),
  constraint subscriptions_next_plan_whole check ((next_plan_id is null) = (next_plan_at is null))
);
--> statement-breakpoint
create index subscriptions_due on subscriptions using btree (next_allocation_at)
  where next_allocation_at is not null;
--> statement-breakpoint
-- What an account gets for a period: decided here, once for each plan and period, then written to
-- the ledger under a key made from it. `rolled_over` is null until it is known.
create table allocations (
  account_id text not null,
  plan_id text not null,
  period_start timestamp (3) with time zone not null,
  period_end timestamp (3) with time zone not null,
  credits bigint not null,
  bonus bigint not null,
  rollover_max bigint not null,
  rolled_over bigint,
  tier text not null,
  grant_seq bigint,
  created_at timestamp (3) with time zone not null,
  done_at timestamp (3) with time zone,
  attempts smallint not null default 0,
  next_attempt_at timestamp (3) with time zone,
  last_error text,
  constraint allocations_pk primary key (account_id, plan_id, period_start),
  constraint allocations_period_forward check (period_end > period_start),
  constraint allocations_not_negative check (credits >= 0 and bonus >= 0 and rollover_max >= 0),
  constraint allocations_rollover_in_range check (rolled_over between 0 and rollover_max),
  constraint allocations_open_or_done check ((done_at is null) = (next_attempt_at is not null))
);
--> statement-breakpoint
create index allocations_open on allocations using btree (next_attempt_at)
  where next_attempt_at is not null;
--> statement-breakpoint
-- What the providers told of their subscriptions last, and when that was read.
create table provider_subscriptions (
  provider text not null,
  subscription_id text not null,
  account_id text not null,
  plan_id text not null
    constraint provider_subscriptions_plan_id_subscription_credit_config_id_fk
    references subscription_credit_config (id),
  status text,
  will_end boolean not null,
  as_of timestamp (3) with time zone,
  plan_since timestamp (3) with time zone,
  created_at timestamp (3) with time zone not null,
  updated_at timestamp (3) with time zone not null,
  constraint provider_subscriptions_pk primary key (provider, subscription_id),
  constraint provider_subscriptions_status_known
    check (status in ('active', 'trialing', 'past_due', 'unpaid', 'paused', 'canceled')),
  constraint provider_subscriptions_reading_whole
    check ((status is null) = (as_of is null) and (plan_since is null) = (as_of is null))
);
--> statement-breakpoint
create index provider_subscriptions_account on provider_subscriptions using btree (account_id);
--> statement-breakpoint
-- Their paid periods, for ever: one payment counts once.
create table subscription_payments (
  provider text not null,
  payment_id text not null,
  subscription_id text not null,
  plan_id text not null
    constraint subscription_payments_plan_id_subscription_credit_config_id_fk
    references subscription_credit_config (id),
  reason text not null,
  amount_paid bigint not null,
  period_start timestamp (3) with time zone not null,
  period_end timestamp (3) with time zone not null,
  paid_at timestamp (3) with time zone,
  created_at timestamp (3) with time zone not null,
  constraint subscription_payments_pk primary key (provider, payment_id),
  constraint subscription_payments_subscription foreign key (provider, subscription_id)
    references provider_subscriptions (provider, subscription_id),
  constraint subscription_payments_reason_known check (reason in ('create', 'cycle', 'update')),
  constraint subscription_payments_period_forward check (period_end > period_start)
);
--> statement-breakpoint
create index subscription_payments_period
  on subscription_payments using btree (provider, subscription_id, period_start);
--> statement-breakpoint
insert into subscription_credit_config
  (id, tier, name, description, monthly_credits, sort_order, created_at, updated_at)
values
  ('free', 'free', 'Free', 'For everybody', 10, 10, now(), now()),
  ('pro', 'pro', 'Pro', 'Without a billing period of its own', 300, 20, now(), now()),
  ('pro_monthly', 'pro', 'Pro, monthly', 'Paid by the month', 300, 30, now(), now()),
  ('pro_yearly', 'pro', 'Pro, yearly', 'Paid by the year, allocated by the month', 400, 40, now(),
   now()),
  ('lifetime', 'lifetime', 'Lifetime', 'Paid once', 1000, 50, now(), now())
on conflict (id) do nothing;
