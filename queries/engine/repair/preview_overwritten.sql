-- Counts the rows that still do not match, by what a repair would do with them.
SELECT
    countIf(found_kind = 'missing' AND kind_now = 'missing') AS missing,
    countIf(found_kind = 'different' AND kind_now = 'different') AS different,
    countIf(kind_now = 'different' AND NOT is_overwritten) AS left_different,
    countIf(NOT is_overwritten AND NOT (found_kind = 'missing' AND kind_now = 'missing')) AS left_rows,
    countIf(is_overwritten) AS overwritten
FROM plan_rows
