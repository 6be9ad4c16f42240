-- The hourly aggregates from one key to another. The marks are replaced by fixed text: the order of the table that is read, which
-- filters apply, and the order, which is total and by the names of the page: hour, player, game. Text that is not UTF-8, which only
-- others can have written, is repaired: JSON, Arrow and Parquet cannot hold it.
SELECT
    toDateTime64(hour, 0, 'UTC') AS created_hour,
    toValidUTF8(player) AS player_id,
    game AS game_id,
    toValidUTF8(name) AS game_name,
    toValidUTF8(maker) AS provider,
    rounds AS rounds_played,
    real_bet AS real_amount_bet,
    bonus_bet AS bonus_amount_bet,
    real_win AS real_amount_win,
    bonus_win AS bonus_amount_win,
    real_bet + bonus_bet - real_win - bonus_win AS net
FROM
(
    SELECT
        created_hour AS hour,
        user_id AS player,
        game_id AS game,
        max(game_name) AS name,
        max(provider) AS maker,
        sum(rounds_played) AS rounds,
        sum(real_amount_bet) AS real_bet,
        sum(bonus_amount_bet) AS bonus_bet,
        sum(real_amount_win) AS real_win,
        sum(bonus_amount_win) AS bonus_win
    FROM /* source */
    WHERE /* filters */
    GROUP BY created_hour, user_id, game_id
    -- Of an hour whose rounds a repair has removed, nothing may be left but a zero.
    HAVING rounds != 0
)
ORDER BY /* order */
SETTINGS max_threads = 1
