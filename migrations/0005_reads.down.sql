drop function ledger_state_at;
--> statement-breakpoint
drop function ledger_seq_at;
