drop index transactions_archive_time;
--> statement-breakpoint
drop index transactions_time;
