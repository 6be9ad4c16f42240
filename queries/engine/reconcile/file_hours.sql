-- Adds up the file's rounds of a range of ids by hour, player and game, each round once. The outcomes are known by now: duplicate and
-- contradictory rows are not in the sums, but the hours of contradictory rows are compared, too.
INSERT INTO {hours:Identifier}
SELECT
    toStartOfHour(created_timestamp) AS created_hour,
    user_id,
    game_id,
    'file' AS source,
    0 AS check,
    countIf(is_counted) AS rounds,
    sumIf(ifNull(real_amount_bet, 0), is_counted) AS real_amount_bet,
    sumIf(ifNull(bonus_amount_bet, 0), is_counted) AS bonus_amount_bet,
    sumIf(ifNull(real_amount_win, 0), is_counted) AS real_amount_win,
    sumIf(ifNull(bonus_amount_win, 0), is_counted) AS bonus_amount_win
FROM
(
    SELECT *, line NOT IN
    (
        SELECT line FROM {outcomes:Identifier}
        WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64} AND kind = 'contradictory_in_file'
    ) AS is_counted
    FROM {rows:Identifier}
    WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64} AND line NOT IN
    (
        SELECT line FROM {outcomes:Identifier}
        WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64} AND kind = 'duplicate_in_file'
    )
)
GROUP BY created_hour, user_id, game_id
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
