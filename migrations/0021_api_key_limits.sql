ALTER TABLE "api_keys" ADD COLUMN "rate_limit_max" integer;--> statement-breakpoint
ALTER TABLE "api_keys" ADD COLUMN "rate_limit_window_seconds" integer;--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_rate_limit_whole" CHECK (("api_keys"."rate_limit_max" is null) = ("api_keys"."rate_limit_window_seconds" is null));--> statement-breakpoint
ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_rate_limit_positive" CHECK ("api_keys"."rate_limit_max" > 0 and "api_keys"."rate_limit_window_seconds" > 0);
