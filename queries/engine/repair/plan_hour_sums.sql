-- The noted hours, from the first to the last, whose aggregates are not the sum of their rounds: what their rounds add up to (`right_`),
-- and what the aggregates hold (`held_`).
WITH noted AS
(
    SELECT DISTINCT created_hour, user_id, game_id
    FROM reconcile_repair_hours
    WHERE job_id = {job:UUID}
        AND created_hour BETWEEN toDateTime({first_hour:UInt32}, 'UTC') AND toDateTime({last_hour:UInt32}, 'UTC')
)
SELECT
    created_hour,
    user_id,
    game_id,
    max(one_name) AS name,
    max(one_maker) AS maker,
    sumIf(rounds, source = 'rounds') AS right_rounds,
    sumIf(real_bet, source = 'rounds') AS right_real_bet,
    sumIf(bonus_bet, source = 'rounds') AS right_bonus_bet,
    sumIf(real_win, source = 'rounds') AS right_real_win,
    sumIf(bonus_win, source = 'rounds') AS right_bonus_win,
    sumIf(rounds, source = 'aggregates') AS held_rounds,
    sumIf(real_bet, source = 'aggregates') AS held_real_bet,
    sumIf(bonus_bet, source = 'aggregates') AS held_bonus_bet,
    sumIf(real_win, source = 'aggregates') AS held_real_win,
    sumIf(bonus_win, source = 'aggregates') AS held_bonus_win
FROM
(
    SELECT
        toStartOfHour(created_timestamp) AS created_hour,
        user_id,
        game_id,
        'rounds' AS source,
        max(toString(game_name)) AS one_name,
        max(toString(provider)) AS one_maker,
        toInt64(count()) AS rounds,
        sum(ifNull(real_amount_bet, 0)) AS real_bet,
        sum(ifNull(bonus_amount_bet, 0)) AS bonus_bet,
        sum(ifNull(real_amount_win, 0)) AS real_win,
        sum(ifNull(bonus_amount_win, 0)) AS bonus_win
    FROM game_rounds
    WHERE created_timestamp >= toDateTime64({first_hour:UInt32}, 3, 'UTC')
        AND created_timestamp < toDateTime64({last_hour:UInt32}, 3, 'UTC') + INTERVAL 1 HOUR
        AND (toStartOfHour(created_timestamp), user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM noted)
    GROUP BY created_hour, user_id, game_id
    UNION ALL
    SELECT
        created_hour,
        user_id,
        game_id,
        'aggregates' AS source,
        max(game_name) AS one_name,
        max(provider) AS one_maker,
        toInt64(sum(rounds_played)) AS rounds,
        sum(real_amount_bet) AS real_bet,
        sum(bonus_amount_bet) AS bonus_bet,
        sum(real_amount_win) AS real_win,
        sum(bonus_amount_win) AS bonus_win
    FROM hourly_aggregates
    WHERE created_hour BETWEEN toDateTime({first_hour:UInt32}, 'UTC') AND toDateTime({last_hour:UInt32}, 'UTC')
        AND (created_hour, user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM noted)
    GROUP BY created_hour, user_id, game_id
)
GROUP BY created_hour, user_id, game_id
HAVING (right_rounds, right_real_bet, right_bonus_bet, right_real_win, right_bonus_win)
    != (held_rounds, held_real_bet, held_bonus_bet, held_real_win, held_bonus_win)
