drop view credit_transactions;
--> statement-breakpoint
drop view user_credits;
