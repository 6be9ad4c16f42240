-- Notes the hours that a repair has to look at: those that differ, those of rounds that are missing, and those of the rounds that are
-- to change, as they were found and as they are now.
INSERT INTO reconcile_repair_hours (job_id, created_hour, user_id, game_id, in_file)
WITH differences AS
(
    SELECT * FROM reconcile_differences WHERE job_id = {job:UUID} AND attempt = {attempt:UUID}
)
SELECT {job:UUID} AS job_id, hour, player, game, max(is_in_file)
FROM
(
    SELECT
        assumeNotNull(created_hour) AS hour,
        assumeNotNull(user_id) AS player,
        assumeNotNull(game_id) AS game,
        true AS is_in_file
    FROM differences
    WHERE kind = 'hour'
    UNION ALL
    SELECT
        toStartOfHour(assumeNotNull(file_created_timestamp)) AS hour,
        assumeNotNull(file_user_id) AS player,
        assumeNotNull(file_game_id) AS game,
        true AS is_in_file
    FROM differences
    WHERE kind = 'missing' OR (kind = 'different' AND {prefers_file:Bool})
    UNION ALL
    SELECT
        toStartOfHour(assumeNotNull(stored_created_timestamp)) AS hour,
        assumeNotNull(stored_user_id) AS player,
        assumeNotNull(stored_game_id) AS game,
        false AS is_in_file
    FROM differences
    WHERE (kind = 'different' AND {prefers_file:Bool}) OR (kind = 'unexpected' AND {removes_unexpected:Bool})
    UNION ALL
    SELECT toStartOfHour(created_timestamp) AS hour, user_id AS player, game_id AS game, false AS is_in_file
    FROM game_rounds
    WHERE game_instance_id IN
    (
        SELECT game_instance_id
        FROM differences
        WHERE (kind = 'different' AND {prefers_file:Bool}) OR (kind = 'unexpected' AND {removes_unexpected:Bool})
    )
)
GROUP BY hour, player, game
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
