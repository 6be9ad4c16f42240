-- Compares the noted hours of the file, from the first to the last, once more, and returns those that differ. What they should hold: the
-- stored rounds, with the file's values in place of the stored ones where rows are still different or missing.
WITH
    noted AS
    (
        SELECT DISTINCT created_hour, user_id, game_id
        FROM reconcile_repair_hours
        WHERE job_id = {job:UUID} AND in_file
            AND created_hour BETWEEN toDateTime({first_hour:UInt32}, 'UTC') AND toDateTime({last_hour:UInt32}, 'UTC')
    ),
    parts AS
    (
        SELECT
            toStartOfHour(created_timestamp) AS hour,
            user_id AS player,
            game_id AS game,
            'expected' AS source,
            toInt64(count()) AS rounds,
            sum(ifNull(real_amount_bet, 0)) AS real_bet,
            sum(ifNull(bonus_amount_bet, 0)) AS bonus_bet,
            sum(ifNull(real_amount_win, 0)) AS real_win,
            sum(ifNull(bonus_amount_win, 0)) AS bonus_win
        FROM game_rounds
        WHERE created_timestamp >= toDateTime64({first_hour:UInt32}, 3, 'UTC')
            AND created_timestamp < toDateTime64({last_hour:UInt32}, 3, 'UTC') + INTERVAL 1 HOUR
            AND (toStartOfHour(created_timestamp), user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM noted)
        GROUP BY hour, player, game
        UNION ALL
        SELECT
            toStartOfHour(assumeNotNull(file_created_timestamp)) AS hour,
            assumeNotNull(file_user_id) AS player,
            assumeNotNull(file_game_id) AS game,
            'expected' AS source,
            toInt64(count()) AS rounds,
            sum(ifNull(file_real_amount_bet, 0)) AS real_bet,
            sum(ifNull(file_bonus_amount_bet, 0)) AS bonus_bet,
            sum(ifNull(file_real_amount_win, 0)) AS real_win,
            sum(ifNull(file_bonus_amount_win, 0)) AS bonus_win
        FROM reconcile_differences
        WHERE job_id = {job:UUID} AND attempt = {next_attempt:UUID} AND kind IN ('different', 'missing')
        GROUP BY hour, player, game
        UNION ALL
        SELECT
            toStartOfHour(assumeNotNull(stored_created_timestamp)) AS hour,
            assumeNotNull(stored_user_id) AS player,
            assumeNotNull(stored_game_id) AS game,
            'expected' AS source,
            -toInt64(count()) AS rounds,
            -sum(ifNull(stored_real_amount_bet, 0)) AS real_bet,
            -sum(ifNull(stored_bonus_amount_bet, 0)) AS bonus_bet,
            -sum(ifNull(stored_real_amount_win, 0)) AS real_win,
            -sum(ifNull(stored_bonus_amount_win, 0)) AS bonus_win
        FROM reconcile_differences
        WHERE job_id = {job:UUID} AND attempt = {next_attempt:UUID} AND kind = 'different'
        GROUP BY hour, player, game
        UNION ALL
        SELECT
            created_hour AS hour,
            user_id AS player,
            game_id AS game,
            'aggregates' AS source,
            toInt64(sum(rounds_played)) AS rounds,
            sum(real_amount_bet) AS real_bet,
            sum(bonus_amount_bet) AS bonus_bet,
            sum(real_amount_win) AS real_win,
            sum(bonus_amount_win) AS bonus_win
        FROM hourly_aggregates
        WHERE created_hour BETWEEN toDateTime({first_hour:UInt32}, 'UTC') AND toDateTime({last_hour:UInt32}, 'UTC')
            AND (created_hour, user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM noted)
        GROUP BY hour, player, game
    )
SELECT
    hour,
    player,
    game,
    sumIf(rounds, source = 'expected') AS expected_rounds,
    sumIf(real_bet, source = 'expected') AS expected_real_bet,
    sumIf(bonus_bet, source = 'expected') AS expected_bonus_bet,
    sumIf(real_win, source = 'expected') AS expected_real_win,
    sumIf(bonus_win, source = 'expected') AS expected_bonus_win,
    sumIf(rounds, source = 'aggregates') AS held_rounds,
    sumIf(real_bet, source = 'aggregates') AS held_real_bet,
    sumIf(bonus_bet, source = 'aggregates') AS held_bonus_bet,
    sumIf(real_win, source = 'aggregates') AS held_real_win,
    sumIf(bonus_win, source = 'aggregates') AS held_bonus_win
FROM parts
WHERE (hour, player, game) IN (SELECT created_hour, user_id, game_id FROM noted)
GROUP BY hour, player, game
HAVING (expected_rounds, expected_real_bet, expected_bonus_bet, expected_real_win, expected_bonus_win)
    != (held_rounds, held_real_bet, held_bonus_bet, held_real_win, held_bonus_win)
