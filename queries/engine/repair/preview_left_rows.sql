-- The rows that would still be missing or different after a repair, in place of the differences of its second check.
SELECT {job:UUID} AS job_id, {next_attempt:UUID} AS attempt, kind_now AS kind, * EXCEPT (found_kind, kind_now, is_overwritten)
FROM plan_rows
WHERE NOT is_overwritten AND NOT (found_kind = 'missing' AND kind_now = 'missing')
