-- The hours that a repair has noted, in order, each with its number of players and games.
SELECT toUnixTimestamp(created_hour) AS hour, uniqExact(user_id, game_id) AS keys
FROM reconcile_repair_hours
WHERE job_id = {job:UUID}
GROUP BY created_hour
ORDER BY created_hour
