-- The rows of the file whose rounds were missing and are still not stored.
SELECT *
FROM reconcile_differences
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'missing' AND game_instance_id NOT IN
(
    SELECT game_instance_id FROM game_rounds WHERE game_instance_id IN
    (
        SELECT game_instance_id FROM reconcile_differences
        WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'missing'
    )
)
