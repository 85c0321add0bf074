drop table transactions_archive;
--> statement-breakpoint
drop table transactions;
--> statement-breakpoint
drop table refunds;
--> statement-breakpoint
drop table pending_work;
--> statement-breakpoint
drop table holds;
--> statement-breakpoint
drop table grants;
--> statement-breakpoint
drop table control;
--> statement-breakpoint
drop table accounts;
--> statement-breakpoint
drop table job_runs;
--> statement-breakpoint
drop table idempotency_records;
--> statement-breakpoint
drop table tiers;
--> statement-breakpoint
drop table profiles;
--> statement-breakpoint
drop table prices;
--> statement-breakpoint
drop table audit_logs;
--> statement-breakpoint
drop table api_keys;
