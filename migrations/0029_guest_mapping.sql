ALTER TABLE "guest_accounts" ALTER COLUMN "check_at" DROP NOT NULL;
--> statement-breakpoint
DROP INDEX "guest_accounts_check";
--> statement-breakpoint
CREATE INDEX "guest_accounts_check" ON "guest_accounts" USING btree ("check_at") WHERE "guest_accounts"."check_at" is not null;
--> statement-breakpoint
UPDATE "guest_accounts" SET "check_at" = null WHERE "check_at" = 'infinity';
