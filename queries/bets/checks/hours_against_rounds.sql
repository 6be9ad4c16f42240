-- Hours whose aggregates differ from their rounds
-- The number of rounds, or the sum of an amount.
-- expect: no rows
SELECT
    created_hour,
    user_id,
    game_id,
    sumIf(rounds, is_aggregated) AS rounds_aggregated,
    sumIf(rounds, NOT is_aggregated) AS rounds_stored,
    sumIf(real_bet, is_aggregated) AS real_bet_aggregated,
    sumIf(real_bet, NOT is_aggregated) AS real_bet_stored,
    sumIf(bonus_bet, is_aggregated) AS bonus_bet_aggregated,
    sumIf(bonus_bet, NOT is_aggregated) AS bonus_bet_stored,
    sumIf(real_win, is_aggregated) AS real_win_aggregated,
    sumIf(real_win, NOT is_aggregated) AS real_win_stored,
    sumIf(bonus_win, is_aggregated) AS bonus_win_aggregated,
    sumIf(bonus_win, NOT is_aggregated) AS bonus_win_stored
FROM
(
    SELECT
        true AS is_aggregated,
        created_hour,
        user_id,
        game_id,
        rounds_played AS rounds,
        real_amount_bet AS real_bet,
        bonus_amount_bet AS bonus_bet,
        real_amount_win AS real_win,
        bonus_amount_win AS bonus_win
    FROM hourly_aggregates
    UNION ALL
    SELECT
        false,
        toStartOfHour(created_timestamp),
        user_id,
        game_id,
        1,
        toDecimal128(ifNull(real_amount_bet, 0), 8),
        toDecimal128(ifNull(bonus_amount_bet, 0), 8),
        toDecimal128(ifNull(real_amount_win, 0), 8),
        toDecimal128(ifNull(bonus_amount_win, 0), 8)
    FROM game_rounds
)
GROUP BY created_hour, user_id, game_id
HAVING rounds_aggregated != rounds_stored
    OR real_bet_aggregated != real_bet_stored
    OR bonus_bet_aggregated != bonus_bet_stored
    OR real_win_aggregated != real_win_stored
    OR bonus_win_aggregated != bonus_win_stored
ORDER BY created_hour, user_id, game_id
LIMIT 100
