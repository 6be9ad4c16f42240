-- Notes the hours of rounds that are about to be removed.
INSERT INTO reconcile_repair_hours (job_id, created_hour, user_id, game_id, in_file)
SELECT DISTINCT {job:UUID}, created_hour, user_id, game_id, false
FROM {removals:Identifier}
