-- Counts the rows that a repair would remove.
SELECT count() FROM plan_removals
