drop table payment_reversals;
--> statement-breakpoint
drop table credit_purchases;
--> statement-breakpoint
drop table credit_packages;
