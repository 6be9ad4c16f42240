-- Hours whose number of rounds or sum of real bets differs between the aggregates and the rounds. There must be none.
SELECT
    created_hour,
    user_id,
    game_id,
    sum(from_hours) AS rounds_in_aggregates,
    sum(from_rounds) AS rounds_stored,
    sum(bets_in_hours) AS bets_in_aggregates,
    sum(bets_in_rounds) AS bets_stored
FROM
(
    SELECT
        created_hour,
        user_id,
        game_id,
        rounds_played AS from_hours,
        0 AS from_rounds,
        real_amount_bet AS bets_in_hours,
        toDecimal128(0, 8) AS bets_in_rounds
    FROM hourly_aggregates
    UNION ALL
    SELECT
        toStartOfHour(created_timestamp),
        user_id,
        game_id,
        0,
        1,
        toDecimal128(0, 8),
        toDecimal128(ifNull(real_amount_bet, 0), 8)
    FROM game_rounds
)
GROUP BY created_hour, user_id, game_id
HAVING rounds_in_aggregates != rounds_stored OR bets_in_aggregates != bets_stored
ORDER BY created_hour, user_id, game_id
LIMIT 100
