CREATE TABLE "alert_deliveries" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"notice" jsonb NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"next_attempt_at" timestamp (3) with time zone NOT NULL,
	"attempts" smallint DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE TABLE "alert_readings" (
	"instance_id" text NOT NULL,
	"name" text NOT NULL,
	"read_at" timestamp (3) with time zone NOT NULL,
	"value" double precision NOT NULL,
	CONSTRAINT "alert_readings_instance_id_name_pk" PRIMARY KEY("instance_id","name")
);
--> statement-breakpoint
CREATE TABLE "alerts" (
	"name" text PRIMARY KEY NOT NULL,
	"status" text NOT NULL,
	"since" timestamp (3) with time zone,
	"clear_since" timestamp (3) with time zone,
	"evaluated_at" timestamp (3) with time zone,
	"value" double precision,
	"threshold" double precision
);
