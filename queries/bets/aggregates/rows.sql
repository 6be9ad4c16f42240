-- The hourly aggregates as they are stored, in order and no further than needed. A key may have several rows until merges add them up.
-- Fixed text replaces the placeholders: the table or projection to read, the filters that apply, and the order, which is total. Sums by
-- key would be as short to write, but ClickHouse takes longer to plan them than to read a page.
SELECT
    created_hour, user_id, game_id, game_name, provider, rounds_played,
    real_amount_bet, bonus_amount_bet, real_amount_win, bonus_amount_win
FROM /* source */
WHERE /* filters */
ORDER BY /* order */
LIMIT {rows:UInt64}
SETTINGS max_threads = 1
