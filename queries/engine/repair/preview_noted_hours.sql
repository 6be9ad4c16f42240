-- The hours that a repair would have noted, in place of its table.
SELECT {job:UUID} AS job_id, created_hour, user_id, game_id, in_file
FROM plan_hours
