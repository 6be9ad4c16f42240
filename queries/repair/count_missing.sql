-- How many of the rounds that were missing still are.
SELECT count()
FROM reconcile_differences
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'missing' AND game_instance_id NOT IN
(
    SELECT game_instance_id FROM game_rounds WHERE game_instance_id IN
    (
        SELECT game_instance_id FROM reconcile_differences
        WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'missing'
    )
)
SETTINGS max_memory_usage = 1073741824, max_execution_time = 600
