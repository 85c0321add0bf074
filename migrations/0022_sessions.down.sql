drop table session_revocations;
--> statement-breakpoint
drop table guest_accounts;
