alter table api_keys drop column rate_limit_window_seconds;
--> statement-breakpoint
alter table api_keys drop column rate_limit_max;
