-- Stores the hours that differ, with the sums of their rounds and of the aggregates.
INSERT INTO reconcile_differences
(
    job_id, attempt, kind, line, game_instance_id, created_hour, user_id, game_id,
    expected_rounds_played, expected_real_amount_bet, expected_bonus_amount_bet, expected_real_amount_win,
    expected_bonus_amount_win,
    aggregated_rounds_played, aggregated_real_amount_bet, aggregated_bonus_amount_bet, aggregated_real_amount_win,
    aggregated_bonus_amount_win
)
SELECT
    {job:UUID}, {attempt:UUID}, 'hour', 0, 0, created_hour, user_id, game_id,
    sumIf(rounds, source != 'aggregates'),
    sumIf(real_amount_bet, source != 'aggregates'),
    sumIf(bonus_amount_bet, source != 'aggregates'),
    sumIf(real_amount_win, source != 'aggregates'),
    sumIf(bonus_amount_win, source != 'aggregates'),
    -sumIf(rounds, source = 'aggregates'),
    -sumIf(real_amount_bet, source = 'aggregates'),
    -sumIf(bonus_amount_bet, source = 'aggregates'),
    -sumIf(real_amount_win, source = 'aggregates'),
    -sumIf(bonus_amount_win, source = 'aggregates')
FROM {hours:Identifier}
WHERE source = 'file' OR check = {check:UInt8}
GROUP BY created_hour, user_id, game_id
HAVING countIf(source = 'file') > 0
    AND (sum(rounds), sum(real_amount_bet), sum(bonus_amount_bet), sum(real_amount_win), sum(bonus_amount_win))
        != (0, 0, 0, 0, 0)
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
