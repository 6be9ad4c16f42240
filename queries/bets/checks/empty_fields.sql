-- Rounds without an amount, or without a name
SELECT
    countIf(real_amount_bet IS NULL) AS no_real_amount_bet,
    countIf(bonus_amount_bet IS NULL) AS no_bonus_amount_bet,
    countIf(real_amount_win IS NULL) AS no_real_amount_win,
    countIf(bonus_amount_win IS NULL) AS no_bonus_amount_win,
    countIf(game_name = '') AS no_game_name,
    countIf(provider = '') AS no_provider
FROM game_rounds
