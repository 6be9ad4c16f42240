-- Counts the hours of the file. The rounds of the file and of other files must add up to the aggregates.
SELECT
    count() AS checked,
    countIf(
        (rounds_left, real_bet_left, bonus_bet_left, real_win_left, bonus_win_left) != (0, 0, 0, 0, 0)
    ) AS different,
    countIf(rounds_of_others > 0) AS shared
FROM
(
    SELECT
        sum(rounds) AS rounds_left,
        sum(real_amount_bet) AS real_bet_left,
        sum(bonus_amount_bet) AS bonus_bet_left,
        sum(real_amount_win) AS real_win_left,
        sum(bonus_amount_win) AS bonus_win_left,
        sumIf(rounds, source = 'others') AS rounds_of_others
    FROM {hours:Identifier}
    WHERE source = 'file' OR check = {check:UInt8}
    GROUP BY created_hour, user_id, game_id
    HAVING countIf(source = 'file') > 0
)
SETTINGS
    max_bytes_before_external_group_by = 67108864,
    max_memory_usage = 1073741824,
    max_execution_time = 600
