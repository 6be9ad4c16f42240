-- The hours that a repair looks at: hours that differ, hours of missing rounds, and hours of rounds that it changes, both as they were
-- found and as they are stored now.
WITH differences AS
(
    SELECT * FROM reconcile_differences WHERE job_id = {job:UUID} AND attempt = {attempt:UUID}
)
SELECT hour AS created_hour, player AS user_id, game AS game_id, max(is_in_file) AS in_file
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
