-- Finds the noted hours whose names are not those of their rounds. The aggregates keep the last name in the alphabet, so an earlier name
-- cannot be added to them.
INSERT INTO {names:Identifier}
WITH noted AS
(
    SELECT DISTINCT created_hour, user_id, game_id
    FROM reconcile_repair_hours
    WHERE job_id = {job:UUID}
        AND created_hour BETWEEN toDateTime({first_hour:UInt32}, 'UTC') AND toDateTime({last_hour:UInt32}, 'UTC')
)
SELECT
    concat(toString(toUInt32(hour)), ' ', toString(game), ' ', player) AS key,
    hour,
    player,
    game,
    maxIf(name, source = 'rounds') AS right_name,
    maxIf(maker, source = 'rounds') AS right_maker
FROM
(
    SELECT
        toStartOfHour(created_timestamp) AS hour,
        user_id AS player,
        game_id AS game,
        'rounds' AS source,
        max(toString(game_name)) AS name,
        max(toString(provider)) AS maker
    FROM game_rounds
    WHERE created_timestamp >= toDateTime64({first_hour:UInt32}, 3, 'UTC')
        AND created_timestamp < toDateTime64({last_hour:UInt32}, 3, 'UTC') + INTERVAL 1 HOUR
        AND (toStartOfHour(created_timestamp), user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM noted)
    GROUP BY hour, player, game
    UNION ALL
    SELECT
        created_hour AS hour,
        user_id AS player,
        game_id AS game,
        'aggregates' AS source,
        max(game_name) AS name,
        max(provider) AS maker
    FROM hourly_aggregates
    WHERE created_hour BETWEEN toDateTime({first_hour:UInt32}, 'UTC') AND toDateTime({last_hour:UInt32}, 'UTC')
        AND (created_hour, user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM noted)
    GROUP BY hour, player, game
)
GROUP BY hour, player, game
HAVING countIf(source = 'rounds') = 1 AND countIf(source = 'aggregates') = 1
    AND (right_name, right_maker) != (maxIf(name, source = 'aggregates'), maxIf(maker, source = 'aggregates'))
