ALTER TABLE "session_revocations" ADD COLUMN "noted_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL;--> statement-breakpoint
DROP INDEX "session_revocations_time";--> statement-breakpoint
CREATE INDEX "session_revocations_noted" ON "session_revocations" USING btree ("noted_at","tag","digest");
