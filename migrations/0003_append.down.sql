drop function ledger_load;
--> statement-breakpoint
drop function ledger_row_json;
--> statement-breakpoint
drop view ledger_rows;
--> statement-breakpoint
drop function ledger_hold_json;
--> statement-breakpoint
drop function ledger_lot_json;
--> statement-breakpoint
drop function ledger_fence;
--> statement-breakpoint
drop function ledger_lock;
--> statement-breakpoint
drop function ledger_append;
--> statement-breakpoint
drop type ledger_work;
--> statement-breakpoint
drop type ledger_refund;
--> statement-breakpoint
drop type ledger_hold;
--> statement-breakpoint
drop type ledger_lot_change;
--> statement-breakpoint
drop type ledger_lot;
--> statement-breakpoint
drop type ledger_row;
--> statement-breakpoint
drop type ledger_part;
--> statement-breakpoint
drop type ledger_key;
--> statement-breakpoint
drop type ledger_account;
--> statement-breakpoint
drop function to_ms;
--> statement-breakpoint
drop function from_ms;
