-- Counts the rounds that are to be overwritten.
SELECT countIf(is_overwritten) FROM plan_rows
