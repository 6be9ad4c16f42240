-- Counts the unexpected rows that are still stored.
SELECT count() FROM plan_unexpected
