-- A page of hourly aggregates. The two marks are replaced by fixed text: which filters apply, and the order, which always
-- ends in the whole key and is therefore total.
SELECT
    toUInt32(created_hour) AS created_hour,
    user_id,
    game_id,
    name AS game_name,
    maker AS provider,
    rounds AS rounds_played,
    toString(real_bet) AS real_amount_bet,
    toString(bonus_bet) AS bonus_amount_bet,
    toString(real_win) AS real_amount_win,
    toString(bonus_win) AS bonus_amount_win,
    toString(real_bet + bonus_bet - real_win - bonus_win) AS net
FROM
(
    SELECT
        created_hour,
        user_id,
        game_id,
        max(game_name) AS name,
        max(provider) AS maker,
        sum(rounds_played) AS rounds,
        sum(real_amount_bet) AS real_bet,
        sum(bonus_amount_bet) AS bonus_bet,
        sum(real_amount_win) AS real_win,
        sum(bonus_amount_win) AS bonus_win
    FROM hourly_aggregates
    WHERE /* filters */
    GROUP BY created_hour, user_id, game_id
    -- Of an hour whose rounds a repair has removed, nothing is left but a zero.
    HAVING rounds != 0
    ORDER BY /* order */
    LIMIT {limit:UInt64} OFFSET {skip:UInt64}
)
ORDER BY /* order */
