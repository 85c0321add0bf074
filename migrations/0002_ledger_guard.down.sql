delete from control;
--> statement-breakpoint
alter table grants reset (fillfactor, autovacuum_vacuum_scale_factor);
--> statement-breakpoint
alter table accounts reset (fillfactor, autovacuum_vacuum_scale_factor);
--> statement-breakpoint
drop trigger refunds_append_only on refunds;
--> statement-breakpoint
drop trigger transactions_archive_append_only on transactions_archive;
--> statement-breakpoint
drop trigger transactions_append_only on transactions;
--> statement-breakpoint
drop function ledger_refuse_change();
