-- Copies the hourly aggregates of the file's hours, negated, so that sums of all sources are differences.
INSERT INTO {hours:Identifier}
SELECT
    created_hour,
    user_id,
    game_id,
    'aggregates' AS source,
    {check:UInt8} AS check,
    -toInt64(rounds_played) AS rounds,
    -hourly_aggregates.real_amount_bet AS real_amount_bet,
    -hourly_aggregates.bonus_amount_bet AS bonus_amount_bet,
    -hourly_aggregates.real_amount_win AS real_amount_win,
    -hourly_aggregates.bonus_amount_win AS bonus_amount_win
FROM hourly_aggregates
WHERE created_hour IN (SELECT created_hour FROM {hours:Identifier} WHERE source = 'file')
SETTINGS
    max_memory_usage = 1073741824,
    max_execution_time = 600
