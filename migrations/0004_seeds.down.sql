-- Only what is still as it was seeded: an operator's own tiers are not ours to delete.
delete from tiers
where (id, level) in (
  ('free', 0),
  ('basic', 10),
  ('pro', 20),
  ('premium', 30),
  ('enterprise', 40),
  ('lifetime', 50)
);
