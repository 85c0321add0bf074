drop index session_revocations_noted;
--> statement-breakpoint
alter table session_revocations drop column noted_at;
--> statement-breakpoint
create index session_revocations_time on session_revocations using btree (revoked_at, tag, digest);
