-- Adds every block of new rounds to the hourly aggregates. A null amount counts as 0.
--
-- It leaves out the rounds that their hour may already include. After inserting a block of such rounds, the loader adds what their hours
-- lack (queries/engine/loader/hour_differences.sql). So no reader sees an hour that counts a round twice.
CREATE MATERIALIZED VIEW IF NOT EXISTS hourly_aggregates_view TO hourly_aggregates AS
SELECT
    toStartOfHour(created_timestamp) AS created_hour,
    user_id,
    game_id,
    max(toString(game_name)) AS game_name,
    max(toString(provider)) AS provider,
    count() AS rounds_played,
    sum(ifNull(real_amount_bet, 0)) AS real_amount_bet,
    sum(ifNull(bonus_amount_bet, 0)) AS bonus_amount_bet,
    sum(ifNull(real_amount_win, 0)) AS real_amount_win,
    sum(ifNull(bonus_amount_win, 0)) AS bonus_amount_win
FROM game_rounds
WHERE NOT recounted
GROUP BY created_hour, user_id, game_id
