-- Rows of the file that differ from what is stored, field by field, as text; times in milliseconds since 1970.
SELECT
    file.line AS line,
    [
        ('created_timestamp', toString(toUnixTimestamp64Milli(file.created_timestamp)),
            toString(toUnixTimestamp64Milli(stored.created_timestamp))),
        ('user_id', file.user_id, stored.user_id),
        ('game_id', toString(file.game_id), toString(stored.game_id)),
        ('real_amount_bet', toString(file.real_amount_bet), toString(stored.real_amount_bet)),
        ('bonus_amount_bet', toString(file.bonus_amount_bet), toString(stored.bonus_amount_bet)),
        ('real_amount_win', toString(file.real_amount_win), toString(stored.real_amount_win)),
        ('bonus_amount_win', toString(file.bonus_amount_win), toString(stored.bonus_amount_win)),
        ('game_name', file.game_name, toString(stored.game_name)),
        ('provider', file.provider, toString(stored.provider))
    ]::Array(Tuple(String, Nullable(String), Nullable(String))) AS fields
FROM (SELECT * FROM {rows:Identifier} WHERE (game_instance_id, line) IN arrayZip({ids:Array(UInt64)}, {lines:Array(UInt64)})) AS file
INNER JOIN (SELECT * FROM game_rounds WHERE game_instance_id IN {ids:Array(UInt64)}) AS stored
    ON file.game_instance_id = stored.game_instance_id
ORDER BY line
LIMIT 1000
SETTINGS max_execution_time = 60
