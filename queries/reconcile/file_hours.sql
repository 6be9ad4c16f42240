-- Adds up the file's rounds of a range of ids by hour, player and game; each round once.
INSERT INTO {hours:Identifier}
SELECT
    toStartOfHour(created_timestamp) AS created_hour,
    user_id,
    game_id,
    'file' AS source,
    0 AS check,
    count() AS rounds,
    sum(ifNull(real_amount_bet, 0)) AS real_amount_bet,
    sum(ifNull(bonus_amount_bet, 0)) AS bonus_amount_bet,
    sum(ifNull(real_amount_win, 0)) AS real_amount_win,
    sum(ifNull(bonus_amount_win, 0)) AS bonus_amount_win
FROM
(
    SELECT * FROM {rows:Identifier}
    WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
    ORDER BY game_instance_id, line
    LIMIT 1 BY game_instance_id
)
GROUP BY created_hour, user_id, game_id
SETTINGS
    max_bytes_before_external_sort = 67108864,
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
