-- The rounds of the noted hours, and of others between them, as a repair would leave them.
SELECT
    created_timestamp,
    user_id,
    game_id,
    real_amount_bet,
    bonus_amount_bet,
    real_amount_win,
    bonus_amount_win,
    toString(game_name) AS game_name,
    toString(provider) AS provider
FROM game_rounds
WHERE created_timestamp >= toDateTime64({first_hour:UInt32}, 3, 'UTC')
    AND created_timestamp < toDateTime64({last_hour:UInt32}, 3, 'UTC') + INTERVAL 1 HOUR
    AND game_instance_id NOT IN (SELECT game_instance_id FROM plan_rows WHERE is_overwritten)
UNION ALL
SELECT
    assumeNotNull(file_created_timestamp) AS created_timestamp,
    assumeNotNull(file_user_id) AS user_id,
    assumeNotNull(file_game_id) AS game_id,
    file_real_amount_bet AS real_amount_bet,
    file_bonus_amount_bet AS bonus_amount_bet,
    file_real_amount_win AS real_amount_win,
    file_bonus_amount_win AS bonus_amount_win,
    assumeNotNull(file_game_name) AS game_name,
    assumeNotNull(file_provider) AS provider
FROM plan_rows
WHERE is_overwritten
UNION ALL
SELECT
    assumeNotNull(file_created_timestamp) AS created_timestamp,
    assumeNotNull(file_user_id) AS user_id,
    assumeNotNull(file_game_id) AS game_id,
    file_real_amount_bet AS real_amount_bet,
    file_bonus_amount_bet AS bonus_amount_bet,
    file_real_amount_win AS real_amount_win,
    file_bonus_amount_win AS bonus_amount_win,
    assumeNotNull(file_game_name) AS game_name,
    assumeNotNull(file_provider) AS provider
FROM plan_missing
