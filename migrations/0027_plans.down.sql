drop table subscription_payments;
--> statement-breakpoint
drop table provider_subscriptions;
--> statement-breakpoint
drop table allocations;
--> statement-breakpoint
drop table subscriptions;
--> statement-breakpoint
drop table subscription_credit_config;
