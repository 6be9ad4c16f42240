-- The same, with the hours of the rounds that it would remove.
SELECT job_id, created_hour, user_id, game_id, in_file
FROM reconcile_repair_hours
UNION ALL
SELECT {job:UUID} AS job_id, created_hour, user_id, game_id, false AS in_file
FROM plan_removals
