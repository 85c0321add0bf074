create table webhook_inbox (
	id uuid primary key not null,
	provider text not null,
	external_event_id text not null,
	type text not null,
	object_id text,
	is_live boolean not null,
	provider_created_at timestamp (3) with time zone not null,
	raw bytea not null,
	headers jsonb not null,
	received_at timestamp (3) with time zone not null,
	attempts integer default 0 not null,
	next_attempt_at timestamp (3) with time zone not null,
	retry_until timestamp (3) with time zone not null,
	processed_at timestamp (3) with time zone,
	dead_at timestamp (3) with time zone,
	outcome text,
	last_error text,
	constraint webhook_inbox_event unique (provider, external_event_id),
	constraint webhook_inbox_outcome_known check (outcome in ('applied', 'ignored')),
	constraint webhook_inbox_outcome_of_processed check ((processed_at is null) = (outcome is null)),
	constraint webhook_inbox_processed_or_dead check (processed_at is null or dead_at is null)
);
--> statement-breakpoint
create index webhook_inbox_due on webhook_inbox using btree (next_attempt_at) where processed_at is null and dead_at is null;
--> statement-breakpoint
create index webhook_inbox_dead on webhook_inbox using btree (dead_at, id) where dead_at is not null;
--> statement-breakpoint
create index webhook_inbox_processed on webhook_inbox using btree (processed_at) where processed_at is not null;
