-- What must be added to the hourly aggregates of the noted hours from the first to the last so that they are the sums of their
-- rounds: the sums less what is there. The columns are in the order of hourly_aggregates.
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
    max(name),
    max(maker),
    -- Of a negative number, what takes as much away when it is added to others of its type.
    reinterpretAsUInt64(sum(rounds)) AS missing_rounds,
    sum(real_bet) AS missing_real_bet,
    sum(bonus_bet) AS missing_bonus_bet,
    sum(real_win) AS missing_real_win,
    sum(bonus_win) AS missing_bonus_win
FROM
(
    SELECT
        toStartOfHour(created_timestamp) AS created_hour,
        user_id,
        game_id,
        max(toString(game_name)) AS name,
        max(toString(provider)) AS maker,
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
        max(game_name) AS name,
        max(provider) AS maker,
        -toInt64(sum(rounds_played)) AS rounds,
        -sum(real_amount_bet) AS real_bet,
        -sum(bonus_amount_bet) AS bonus_bet,
        -sum(real_amount_win) AS real_win,
        -sum(bonus_amount_win) AS bonus_win
    FROM hourly_aggregates
    WHERE created_hour BETWEEN toDateTime({first_hour:UInt32}, 'UTC') AND toDateTime({last_hour:UInt32}, 'UTC')
        AND (created_hour, user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM noted)
    GROUP BY created_hour, user_id, game_id
)
GROUP BY created_hour, user_id, game_id
HAVING missing_rounds != 0 OR missing_real_bet != 0 OR missing_bonus_bet != 0 OR missing_real_win != 0
    OR missing_bonus_win != 0
