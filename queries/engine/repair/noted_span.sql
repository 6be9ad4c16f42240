-- The first and the last of the noted hours, in seconds since 1970, and how many there are by player and game.
SELECT
    toUnixTimestamp(min(created_hour)) AS first_hour,
    toUnixTimestamp(max(created_hour)) AS last_hour,
    uniqExact(created_hour, user_id, game_id) AS keys
FROM reconcile_repair_hours
WHERE job_id = {job:UUID}
