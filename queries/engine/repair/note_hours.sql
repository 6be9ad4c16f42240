-- Notes the hours that a repair looks at.
INSERT INTO reconcile_repair_hours (job_id, created_hour, user_id, game_id, in_file)
SELECT {job:UUID}, created_hour, user_id, game_id, in_file
FROM plan_hours
