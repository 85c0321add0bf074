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
drop function ledger_append;
--> statement-breakpoint
drop function to_ms;
--> statement-breakpoint
drop function from_ms;
