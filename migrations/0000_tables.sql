CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"prefix" text NOT NULL,
	"digest" text NOT NULL,
	"scopes" text[] NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "audit_logs" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text,
	"action" text NOT NULL,
	"status" text NOT NULL,
	"actor" text NOT NULL,
	"request_id" text,
	"error_code" text,
	"error_message" text,
	"metadata" jsonb,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "audit_logs_status_known" CHECK ("audit_logs"."status" in ('success', 'failed'))
);
--> statement-breakpoint
CREATE TABLE "prices" (
	"action" text PRIMARY KEY NOT NULL,
	"cost" bigint,
	"tier_costs" jsonb,
	"formula" text,
	"minimum" bigint,
	"required_tier" text,
	"description" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "prices_cost_or_formula" CHECK (("prices"."cost" is null) <> ("prices"."formula" is null)),
	CONSTRAINT "prices_cost_not_negative" CHECK ("prices"."cost" >= 0),
	CONSTRAINT "prices_minimum_not_negative" CHECK ("prices"."minimum" >= 0)
);
--> statement-breakpoint
CREATE TABLE "profiles" (
	"account_id" text PRIMARY KEY NOT NULL,
	"email" text,
	"metadata" jsonb,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "tiers" (
	"id" text PRIMARY KEY NOT NULL,
	"level" integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE "idempotency_records" (
	"key" uuid PRIMARY KEY NOT NULL,
	"digest" uuid NOT NULL,
	"claim" text NOT NULL,
	"result" jsonb,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "job_runs" (
	"name" text NOT NULL,
	"slot" timestamp (3) with time zone NOT NULL,
	"started_at" timestamp (3) with time zone NOT NULL,
	"finished_at" timestamp (3) with time zone,
	"outcome" text,
	CONSTRAINT "job_runs_name_slot_pk" PRIMARY KEY("name","slot")
);
--> statement-breakpoint
CREATE TABLE "accounts" (
	"id" text PRIMARY KEY NOT NULL,
	"version" bigint NOT NULL,
	"seq" bigint NOT NULL,
	"balance" bigint NOT NULL,
	"held" bigint NOT NULL,
	"debt" bigint NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"tier_expires_at" timestamp (3) with time zone,
	"status" text NOT NULL,
	"tier" text,
	"has_archive" boolean DEFAULT false NOT NULL,
	CONSTRAINT "accounts_balance_not_negative" CHECK ("accounts"."balance" >= 0),
	CONSTRAINT "accounts_held_within_balance" CHECK ("accounts"."held" between 0 and "accounts"."balance"),
	CONSTRAINT "accounts_debt_not_negative" CHECK ("accounts"."debt" >= 0),
	CONSTRAINT "accounts_amounts_exact" CHECK (greatest("accounts"."balance", "accounts"."debt") <= 9007199254740991),
	CONSTRAINT "accounts_debt_or_available" CHECK ("accounts"."debt" = 0 or "accounts"."balance" = "accounts"."held"),
	CONSTRAINT "accounts_status_known" CHECK ("accounts"."status" in ('active', 'frozen', 'closed'))
);
--> statement-breakpoint
CREATE TABLE "control" (
	"id" smallint PRIMARY KEY NOT NULL,
	"epoch" uuid NOT NULL,
	"writable" boolean DEFAULT true NOT NULL,
	"reason" text,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "control_one_row" CHECK ("control"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "grants" (
	"account_id" text NOT NULL,
	"grant_seq" bigint NOT NULL,
	"amount" bigint NOT NULL,
	"remaining" bigint NOT NULL,
	"held" bigint NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone NOT NULL,
	"priority" smallint NOT NULL,
	"is_revoked" boolean NOT NULL,
	"live" boolean NOT NULL,
	"source" text NOT NULL,
	CONSTRAINT "grants_account_id_grant_seq_pk" PRIMARY KEY("account_id","grant_seq"),
	CONSTRAINT "grants_amount_positive" CHECK ("grants"."amount" > 0),
	CONSTRAINT "grants_remaining_in_range" CHECK ("grants"."remaining" between 0 and "grants"."amount"),
	CONSTRAINT "grants_held_within_remaining" CHECK ("grants"."held" between 0 and "grants"."remaining"),
	CONSTRAINT "grants_live_is_remaining" CHECK ("grants"."live" = ("grants"."remaining" > 0)),
	CONSTRAINT "grants_source_known" CHECK ("grants"."source" in ('monthly', 'bonus', 'purchased'))
);
--> statement-breakpoint
CREATE TABLE "holds" (
	"account_id" text NOT NULL,
	"hold_seq" bigint NOT NULL,
	"amount" bigint NOT NULL,
	"captured" bigint NOT NULL,
	"settled_seq" bigint,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"status" text NOT NULL,
	"action" text,
	"parts" jsonb NOT NULL,
	CONSTRAINT "holds_account_id_hold_seq_pk" PRIMARY KEY("account_id","hold_seq"),
	CONSTRAINT "holds_amount_not_negative" CHECK ("holds"."amount" >= 0 and "holds"."captured" >= 0),
	CONSTRAINT "holds_status_known" CHECK ("holds"."status" in ('active', 'captured', 'released', 'expired')),
	CONSTRAINT "holds_settled_once" CHECK (("holds"."status" = 'active') = ("holds"."settled_seq" is null))
);
--> statement-breakpoint
CREATE TABLE "pending_work" (
	"account_id" text NOT NULL,
	"id" text NOT NULL,
	"kind" text NOT NULL,
	"payload" jsonb NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"next_attempt_at" timestamp (3) with time zone NOT NULL,
	"attempts" smallint DEFAULT 0 NOT NULL,
	"last_error" text,
	CONSTRAINT "pending_work_account_id_id_pk" PRIMARY KEY("account_id","id")
);
--> statement-breakpoint
CREATE TABLE "refunds" (
	"account_id" text NOT NULL,
	"charge_seq" bigint NOT NULL,
	"refund_seq" bigint NOT NULL,
	"amount" bigint NOT NULL,
	CONSTRAINT "refunds_account_id_charge_seq_refund_seq_pk" PRIMARY KEY("account_id","charge_seq","refund_seq"),
	CONSTRAINT "refunds_amount_positive" CHECK ("refunds"."amount" > 0)
);
--> statement-breakpoint
CREATE TABLE "transactions" (
	"seq" bigint NOT NULL,
	"amount" bigint NOT NULL,
	"balance_after" bigint NOT NULL,
	"held_after" bigint NOT NULL,
	"debt_after" bigint NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"key" uuid,
	"digest" uuid,
	"account_id" text NOT NULL,
	"type" text NOT NULL,
	"action" text,
	"actor" text NOT NULL,
	"request_id" text,
	"parts" jsonb,
	"detail" jsonb,
	"metadata" jsonb,
	CONSTRAINT "transactions_account_id_seq_pk" PRIMARY KEY("account_id","seq"),
	CONSTRAINT "transactions_seq_positive" CHECK ("transactions"."seq" > 0),
	CONSTRAINT "transactions_balance_not_negative" CHECK ("transactions"."balance_after" >= 0),
	CONSTRAINT "transactions_held_within_balance" CHECK ("transactions"."held_after" between 0 and "transactions"."balance_after"),
	CONSTRAINT "transactions_debt_not_negative" CHECK ("transactions"."debt_after" >= 0)
);
--> statement-breakpoint
CREATE TABLE "transactions_archive" (
	"seq" bigint NOT NULL,
	"amount" bigint NOT NULL,
	"balance_after" bigint NOT NULL,
	"held_after" bigint NOT NULL,
	"debt_after" bigint NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"key" uuid,
	"digest" uuid,
	"account_id" text NOT NULL,
	"type" text NOT NULL,
	"action" text,
	"actor" text NOT NULL,
	"request_id" text,
	"parts" jsonb,
	"detail" jsonb,
	"metadata" jsonb,
	CONSTRAINT "transactions_archive_account_id_seq_pk" PRIMARY KEY("account_id","seq")
);
--> statement-breakpoint
CREATE UNIQUE INDEX "api_keys_digest" ON "api_keys" USING btree ("digest");--> statement-breakpoint
CREATE INDEX "audit_logs_account" ON "audit_logs" USING btree ("account_id","created_at","id");--> statement-breakpoint
CREATE INDEX "audit_logs_time" ON "audit_logs" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "profiles_email" ON "profiles" USING btree (lower("email"));--> statement-breakpoint
CREATE INDEX "idempotency_records_expiry" ON "idempotency_records" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "grants_live" ON "grants" USING btree ("account_id") WHERE live;--> statement-breakpoint
CREATE INDEX "grants_due" ON "grants" USING btree ("expires_at","account_id") WHERE live and expires_at is not null;--> statement-breakpoint
CREATE INDEX "holds_active" ON "holds" USING btree ("account_id") WHERE status = 'active';--> statement-breakpoint
CREATE INDEX "holds_due" ON "holds" USING btree ("expires_at","account_id") WHERE status = 'active';--> statement-breakpoint
CREATE INDEX "pending_work_due" ON "pending_work" USING btree ("next_attempt_at");--> statement-breakpoint
CREATE UNIQUE INDEX "transactions_key" ON "transactions" USING btree ("account_id","key") WHERE key is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "transactions_archive_key" ON "transactions_archive" USING btree ("account_id","key") WHERE key is not null;