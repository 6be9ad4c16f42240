-- Counts the unexpected rounds that are still stored.
SELECT count() FROM plan_unexpected
