-- The hourly aggregates from one key to another. Fixed text replaces the placeholders: the table or projection to read, the filters that
-- apply, and the order, which is total and uses the names of the page: hour, player, game. Invalid UTF-8, which only other programs can
-- have written, is repaired, because JSON, Arrow and Parquet cannot contain it.
-- Text that begins with one of the characters in formula_starts gets an apostrophe.
WITH (text -> if(text != '' AND position({formula_starts:String}, substringUTF8(text, 1, 1)) > 0, concat('\'', text), text)) AS escaped
SELECT
    toDateTime64(hour, 0, 'UTC') AS created_hour,
    escaped(toValidUTF8(player)) AS player_id,
    game AS game_id,
    escaped(toValidUTF8(name)) AS game_name,
    escaped(toValidUTF8(maker)) AS provider,
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
    -- After a repair has removed all rounds of an hour, a row with zero rounds may remain.
    HAVING rounds != 0
)
ORDER BY /* order */
SETTINGS max_threads = 1
