-- The hourly aggregates as they are stored, along their order and no further than needed: a key may stand in several rows until
-- merges add them up. The marks are replaced by fixed text: the order of the table that is read, which filters apply, and the order,
-- which is total. Sums by key would be as short to write, but ClickHouse takes longer to plan them than to read a page.
SELECT
    created_hour, user_id, game_id, game_name, provider, rounds_played,
    real_amount_bet, bonus_amount_bet, real_amount_win, bonus_amount_win
FROM /* source */
WHERE /* filters */
ORDER BY /* order */
LIMIT {rows:UInt64}
SETTINGS max_threads = 1
