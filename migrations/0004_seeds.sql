-- The membership tiers that a new service begins with; an operator may replace them all.
-- Actions have no prices until somebody sets them.
insert into tiers (id, level)
values
  ('free', 0),
  ('basic', 10),
  ('pro', 20),
  ('premium', 30),
  ('enterprise', 40),
  ('lifetime', 50)
on conflict (id) do nothing;
