-- What must be added to the hourly aggregates of a chunk's hours, players and games so that they equal the sums of all their rounds: the
-- sums minus the stored aggregates. The columns are in the order of hourly_aggregates.
WITH chunk_hours AS
(
    SELECT DISTINCT toStartOfHour(created_timestamp) AS created_hour, user_id, game_id
    FROM game_rounds
    WHERE kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16}
        AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}
)
SELECT
    created_hour,
    user_id,
    game_id,
    max(name),
    max(maker),
    -- A negative difference becomes its complement: adding it to the unsigned count subtracts the same amount.
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
    WHERE (toStartOfHour(created_timestamp), user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM chunk_hours)
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
    WHERE (created_hour, user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM chunk_hours)
    GROUP BY created_hour, user_id, game_id
)
GROUP BY created_hour, user_id, game_id
HAVING missing_rounds != 0 OR missing_real_bet != 0 OR missing_bonus_bet != 0 OR missing_real_win != 0
    OR missing_bonus_win != 0
