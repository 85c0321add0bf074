alter table transactions drop constraint transactions_account;
--> statement-breakpoint
alter table pending_work drop constraint pending_work_account;
--> statement-breakpoint
alter table refunds drop constraint refunds_account;
--> statement-breakpoint
alter table holds drop constraint holds_account;
--> statement-breakpoint
alter table grants drop constraint grants_account;
--> statement-breakpoint
alter table profiles drop constraint profiles_account;
