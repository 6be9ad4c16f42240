-- Adds up, by hour, player and game, the stored rounds of a range of ids within the file's time span that the file's sums do not include:
-- rounds that are not in the file, and rounds with contradictory rows in it.
INSERT INTO {hours:Identifier}
WITH contradictory AS
(
    SELECT game_instance_id FROM {outcomes:Identifier}
    WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64} AND kind = 'contradictory_in_file'
)
SELECT
    toStartOfHour(created_timestamp) AS created_hour,
    user_id,
    game_id,
    if(game_instance_id IN (SELECT game_instance_id FROM contradictory), 'contradictory', 'others') AS source,
    {check:UInt8} AS check,
    count() AS rounds,
    sum(ifNull(real_amount_bet, 0)) AS real_amount_bet,
    sum(ifNull(bonus_amount_bet, 0)) AS bonus_amount_bet,
    sum(ifNull(real_amount_win, 0)) AS real_amount_win,
    sum(ifNull(bonus_amount_win, 0)) AS bonus_amount_win
FROM game_rounds
WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
    AND created_timestamp >= toDateTime64({first_hour:UInt32}, 3, 'UTC')
    AND created_timestamp < toDateTime64({last_hour:UInt32}, 3, 'UTC') + INTERVAL 1 HOUR
    AND game_instance_id NOT IN
    (
        SELECT game_instance_id FROM {rows:Identifier}
        WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
            AND game_instance_id NOT IN (SELECT game_instance_id FROM contradictory)
    )
GROUP BY created_hour, user_id, game_id, source
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
