-- Ledger rows are never updated or deleted; whoever tries is told so by the database itself.
create function ledger_refuse_change() returns trigger
language plpgsql
as $$
begin
  raise exception 'rows of % are never changed or removed', tg_table_name
    using errcode = 'restrict_violation';
end
$$;
--> statement-breakpoint
create trigger transactions_append_only
  before update or delete or truncate on transactions
  for each statement execute function ledger_refuse_change();
--> statement-breakpoint
create trigger transactions_archive_append_only
  before update or delete or truncate on transactions_archive
  for each statement execute function ledger_refuse_change();
--> statement-breakpoint
create trigger refunds_append_only
  before update or delete or truncate on refunds
  for each statement execute function ledger_refuse_change();
--> statement-breakpoint
-- Room on each page for the next version of a row: updates stay HOT.
alter table accounts set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
--> statement-breakpoint
alter table grants set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
--> statement-breakpoint
insert into control (id, epoch, writable, updated_at)
values (1, gen_random_uuid(), true, now());
