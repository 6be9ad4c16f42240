-- Counts the rounds that were missing and still are.
SELECT count() FROM plan_missing
