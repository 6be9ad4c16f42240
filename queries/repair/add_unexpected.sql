-- Rounds that are stored as from the upload of the file, and are not in it.
INSERT INTO {removals:Identifier}
SELECT rounds._part, rounds._part_offset, toStartOfHour(rounds.created_timestamp), rounds.user_id, rounds.game_id
FROM
(
    SELECT _part, _part_offset, game_instance_id, upload_id, created_timestamp, user_id, game_id
    FROM game_rounds
    WHERE game_instance_id IN
    (
        SELECT game_instance_id FROM reconcile_differences
        WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'unexpected'
    )
) AS rounds
WHERE (game_instance_id, ifNull(upload_id, toUUID('00000000-0000-0000-0000-000000000000'))) IN
(
    SELECT game_instance_id, ifNull(stored_upload_id, toUUID('00000000-0000-0000-0000-000000000000'))
    FROM reconcile_differences
    WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'unexpected'
)
SETTINGS max_memory_usage = 1073741824, max_execution_time = 600
