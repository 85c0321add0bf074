drop table alert_deliveries;
--> statement-breakpoint
drop table alert_readings;
--> statement-breakpoint
drop table alerts;
