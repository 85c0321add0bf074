CREATE TABLE "guest_accounts" (
	"account_id" text PRIMARY KEY NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"check_at" timestamp (3) with time zone NOT NULL,
	"converted_to" text
);
--> statement-breakpoint
CREATE TABLE "session_revocations" (
	"tag" text NOT NULL,
	"digest" text NOT NULL,
	"revoked_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "session_revocations_tag_digest_pk" PRIMARY KEY("tag","digest")
);
--> statement-breakpoint
CREATE INDEX "guest_accounts_check" ON "guest_accounts" USING btree ("check_at");--> statement-breakpoint
CREATE INDEX "session_revocations_expiry" ON "session_revocations" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "session_revocations_time" ON "session_revocations" USING btree ("revoked_at","tag","digest");