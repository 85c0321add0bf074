-- Kept apart from the tables: a distributed engine wants the tables placed before they are tied.
-- Each key carries account_id, which never changes.
alter table profiles
  add constraint profiles_account foreign key (account_id) references accounts (id);
--> statement-breakpoint
alter table grants
  add constraint grants_account foreign key (account_id) references accounts (id);
--> statement-breakpoint
alter table holds
  add constraint holds_account foreign key (account_id) references accounts (id);
--> statement-breakpoint
alter table refunds
  add constraint refunds_account foreign key (account_id) references accounts (id);
--> statement-breakpoint
alter table pending_work
  add constraint pending_work_account foreign key (account_id) references accounts (id);
--> statement-breakpoint
alter table transactions
  add constraint transactions_account foreign key (account_id) references accounts (id);
