CREATE TABLE "event_relay" (
	"id" smallint PRIMARY KEY NOT NULL,
	"last_position" bigint NOT NULL,
	"pruned_position" bigint NOT NULL,
	CONSTRAINT "event_relay_one_row" CHECK ("event_relay"."id" = 1),
	CONSTRAINT "event_relay_in_order" CHECK ("event_relay"."pruned_position" <= "event_relay"."last_position")
);
--> statement-breakpoint
-- Taken back and applied again, it goes on where it was.
insert into event_relay (id, last_position, pruned_position)
select 1, coalesce(max(position), 0), coalesce(min(position) - 1, 0) from events;
--> statement-breakpoint
CREATE TABLE "event_sequences" (
	"account_id" text PRIMARY KEY NOT NULL,
	"last_seq" bigint NOT NULL
);
--> statement-breakpoint
insert into event_sequences (account_id, last_seq)
select account_id, max(account_seq) from events where account_seq is not null group by account_id;
--> statement-breakpoint
CREATE TABLE "webhook_endpoints" (
	"id" text PRIMARY KEY NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"url" text NOT NULL,
	"types" text[],
	"description" text,
	"secret" text NOT NULL,
	"old_secret" text,
	"old_secret_ends_at" timestamp (3) with time zone,
	"enabled" boolean NOT NULL,
	"disabled_at" timestamp (3) with time zone,
	"disabled_reason" text,
	"deleted_at" timestamp (3) with time zone,
	"paused_until" timestamp (3) with time zone,
	"failing_since" timestamp (3) with time zone,
	"last_delivered_at" timestamp (3) with time zone,
	"last_failed_at" timestamp (3) with time zone,
	"last_status" smallint,
	"last_error" text,
	CONSTRAINT "webhook_endpoints_old_secret_ends" CHECK (("webhook_endpoints"."old_secret" is null) = ("webhook_endpoints"."old_secret_ends_at" is null)),
	CONSTRAINT "webhook_endpoints_deleted_is_off" CHECK ("webhook_endpoints"."deleted_at" is null or not "webhook_endpoints"."enabled")
);
--> statement-breakpoint
CREATE TABLE "event_deliveries" (
	"endpoint_id" text NOT NULL,
	"position" bigint NOT NULL,
	"account_id" text NOT NULL,
	"event_id" text NOT NULL,
	"type" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"status" text NOT NULL,
	"attempts" smallint NOT NULL,
	"next_attempt_at" timestamp (3) with time zone NOT NULL,
	"last_attempt_at" timestamp (3) with time zone,
	"last_status" smallint,
	"last_error" text,
	CONSTRAINT "event_deliveries_endpoint_id_position_pk" PRIMARY KEY("endpoint_id","position"),
	CONSTRAINT "event_deliveries_status_known" CHECK ("event_deliveries"."status" in ('pending', 'failed'))
);
--> statement-breakpoint
ALTER TABLE "event_deliveries" ADD CONSTRAINT "event_deliveries_endpoint_id_webhook_endpoints_id_fk" FOREIGN KEY ("endpoint_id") REFERENCES "webhook_endpoints"("id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
CREATE TABLE "expiry_notices" (
	"account_id" text NOT NULL,
	"grant_seq" bigint NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "expiry_notices_account_id_grant_seq_pk" PRIMARY KEY("account_id","grant_seq")
);
--> statement-breakpoint
CREATE INDEX "event_deliveries_due" ON "event_deliveries" USING btree ("endpoint_id","next_attempt_at","position") WHERE status = 'pending';
--> statement-breakpoint
CREATE INDEX "expiry_notices_expiry" ON "expiry_notices" USING btree ("expires_at");
