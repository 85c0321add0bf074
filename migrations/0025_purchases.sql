CREATE TABLE "credit_packages" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"credits" bigint NOT NULL,
	"price" bigint NOT NULL,
	"currency" text NOT NULL,
	"stripe_price_id" text,
	"creem_price_id" text,
	"description" text,
	"popular" boolean DEFAULT false NOT NULL,
	"active" boolean DEFAULT true NOT NULL,
	"sort_order" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "credit_packages_id_form" CHECK ("credit_packages"."id" ~ '^[a-z0-9_-]{1,64}$'),
	CONSTRAINT "credit_packages_credits_exact" CHECK ("credit_packages"."credits" between 1 and 9007199254740991),
	CONSTRAINT "credit_packages_price_exact" CHECK ("credit_packages"."price" between 0 and 9007199254740991),
	CONSTRAINT "credit_packages_currency_form" CHECK ("credit_packages"."currency" ~ '^[A-Z]{3}$')
);
--> statement-breakpoint
CREATE TABLE "credit_purchases" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"user_id" text GENERATED ALWAYS AS (account_id) STORED,
	"package_id" text NOT NULL,
	"provider" text NOT NULL,
	"status" text NOT NULL,
	"credits" bigint NOT NULL,
	"amount" bigint NOT NULL,
	"currency" text NOT NULL,
	"price_id" text,
	"success_url" text,
	"request_key" uuid,
	"checkout_state" text NOT NULL,
	"checkout_id" text,
	"checkout_url" text,
	"payment_id" text,
	"paid_amount" bigint,
	"paid_at" timestamp (3) with time zone,
	"granted_to" text,
	"grant_seq" bigint,
	"refunded_amount" bigint DEFAULT 0 NOT NULL,
	"reversed_amount" bigint DEFAULT 0 NOT NULL,
	"claw_back_step" integer DEFAULT 0 NOT NULL,
	"claw_back_done_step" integer DEFAULT 0 NOT NULL,
	"claw_back_target" bigint DEFAULT 0 NOT NULL,
	"claw_back_done_target" bigint DEFAULT 0 NOT NULL,
	"collected_from" text,
	"announced_refund" bigint DEFAULT 0 NOT NULL,
	"freeze_state" text,
	"problem" text,
	"attempts" smallint DEFAULT 0 NOT NULL,
	"next_attempt_at" timestamp (3) with time zone,
	"version" bigint DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"completed_at" timestamp (3) with time zone,
	"expires_at" timestamp (3) with time zone,
	CONSTRAINT "credit_purchases_provider_known" CHECK ("credit_purchases"."provider" in ('stripe', 'creem', 'manual')),
	CONSTRAINT "credit_purchases_status_known" CHECK ("credit_purchases"."status" in ('pending', 'processing', 'completed', 'failed', 'expired', 'refunded', 'disputed')),
	CONSTRAINT "credit_purchases_checkout_state_known" CHECK ("credit_purchases"."checkout_state" in ('pending', 'processing', 'expired', 'failed', 'paid')),
	CONSTRAINT "credit_purchases_freeze_known" CHECK ("credit_purchases"."freeze_state" in ('freezing', 'frozen', 'others')),
	CONSTRAINT "credit_purchases_credits_positive" CHECK ("credit_purchases"."credits" > 0),
	CONSTRAINT "credit_purchases_amounts_not_negative" CHECK (least("credit_purchases"."amount", "credit_purchases"."paid_amount", "credit_purchases"."refunded_amount", "credit_purchases"."reversed_amount") >= 0),
	CONSTRAINT "credit_purchases_granted_when_paid" CHECK ("credit_purchases"."grant_seq" is null or ("credit_purchases"."checkout_state" = 'paid' and "credit_purchases"."granted_to" is not null)),
	CONSTRAINT "credit_purchases_completed_when_granted" CHECK ("credit_purchases"."status" <> 'completed' or "credit_purchases"."grant_seq" is not null),
	CONSTRAINT "credit_purchases_clawed_back_within" CHECK ("credit_purchases"."claw_back_target" between 0 and "credit_purchases"."credits"),
	CONSTRAINT "credit_purchases_claw_back_steps" CHECK ("credit_purchases"."claw_back_step" - "credit_purchases"."claw_back_done_step" between 0 and 1)
);
--> statement-breakpoint
CREATE TABLE "payment_reversals" (
	"provider" text NOT NULL,
	"id" text NOT NULL,
	"payment_id" text NOT NULL,
	"purchase_id" text,
	"type" text NOT NULL,
	"amount" bigint NOT NULL,
	"currency" text NOT NULL,
	"paid_amount" bigint NOT NULL,
	"state" text NOT NULL,
	"as_of" timestamp (3) with time zone NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "payment_reversals_provider_id_pk" PRIMARY KEY("provider","id"),
	CONSTRAINT "payment_reversals_type_known" CHECK ("payment_reversals"."type" in ('refund', 'dispute')),
	CONSTRAINT "payment_reversals_state_known" CHECK ("payment_reversals"."state" in ('pending', 'succeeded', 'failed', 'inquiry', 'open', 'withdrawn', 'won', 'lost', 'closed')),
	CONSTRAINT "payment_reversals_amounts_not_negative" CHECK (least("payment_reversals"."amount", "payment_reversals"."paid_amount") >= 0)
);
--> statement-breakpoint
ALTER TABLE "credit_purchases" ADD CONSTRAINT "credit_purchases_package_id_credit_packages_id_fk" FOREIGN KEY ("package_id") REFERENCES "credit_packages"("id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
CREATE UNIQUE INDEX "credit_packages_stripe_price" ON "credit_packages" USING btree ("stripe_price_id");--> statement-breakpoint
CREATE UNIQUE INDEX "credit_packages_creem_price" ON "credit_packages" USING btree ("creem_price_id");--> statement-breakpoint
CREATE UNIQUE INDEX "credit_purchases_request" ON "credit_purchases" USING btree ("request_key") WHERE request_key is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "credit_purchases_checkout" ON "credit_purchases" USING btree ("provider","checkout_id") WHERE checkout_id is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "credit_purchases_payment" ON "credit_purchases" USING btree ("provider","payment_id") WHERE payment_id is not null;--> statement-breakpoint
CREATE INDEX "credit_purchases_account" ON "credit_purchases" USING btree ("account_id","created_at","id");--> statement-breakpoint
CREATE INDEX "credit_purchases_due" ON "credit_purchases" USING btree ("next_attempt_at") WHERE next_attempt_at is not null;--> statement-breakpoint
CREATE INDEX "credit_purchases_freezing" ON "credit_purchases" USING btree ("granted_to") WHERE freeze_state is not null;--> statement-breakpoint
CREATE INDEX "payment_reversals_payment" ON "payment_reversals" USING btree ("provider","payment_id");
--> statement-breakpoint
insert into credit_packages
  (id, name, credits, price, currency, description, popular, sort_order)
values
  ('pkg_starter', 'Starter', 100, 500, 'USD', '100 credits', false, 10),
  ('pkg_popular', 'Popular', 500, 2000, 'USD', '500 credits', true, 20),
  ('pkg_value', 'Value', 2000, 7000, 'USD', '2,000 credits', false, 30),
  ('pkg_enterprise', 'Enterprise', 10000, 30000, 'USD', '10,000 credits', false, 40)
on conflict (id) do nothing;
