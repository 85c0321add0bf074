drop table expiry_notices;
--> statement-breakpoint
drop table event_deliveries;
--> statement-breakpoint
drop table webhook_endpoints;
--> statement-breakpoint
drop table event_sequences;
--> statement-breakpoint
drop table event_relay;
