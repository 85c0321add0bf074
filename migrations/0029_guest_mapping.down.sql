-- who became whom is kept: at no time is there anything more to do
update guest_accounts
   set check_at = 'infinity'
 where check_at is null;
--> statement-breakpoint
drop index guest_accounts_check;
--> statement-breakpoint
create index guest_accounts_check on guest_accounts using btree (check_at);
--> statement-breakpoint
alter table guest_accounts alter column check_at set not null;
