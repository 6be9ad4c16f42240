-- The rounds of the file's upload that are not in the file and are still stored.
SELECT *
FROM reconcile_differences
WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'unexpected'
    AND (game_instance_id, ifNull(stored_upload_id, toUUID('00000000-0000-0000-0000-000000000000'))) IN
    (
        SELECT game_instance_id, ifNull(upload_id, toUUID('00000000-0000-0000-0000-000000000000'))
        FROM game_rounds
        WHERE game_instance_id IN
        (
            SELECT game_instance_id FROM reconcile_differences
            WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'unexpected'
        )
    )
