-- Counts the rounds that have contradictory rows in the file.
SELECT uniqExact(game_instance_id)
FROM reconcile_differences
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'contradictory_in_file'
