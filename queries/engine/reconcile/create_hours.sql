-- The hours of one job, by player and game, while it runs. `check` is the number of the comparison. Source 'contradictory': stored rounds
-- that have contradictory rows in the file.
CREATE TABLE {hours:Identifier}
(
    created_hour      DateTime('UTC'),
    user_id           String,
    game_id           UInt64,
    source            Enum8('file' = 1, 'others' = 2, 'aggregates' = 3, 'contradictory' = 4),
    check             UInt8,
    rounds            Int64,
    real_amount_bet   Decimal(38, 8),
    bonus_amount_bet  Decimal(38, 8),
    real_amount_win   Decimal(38, 8),
    bonus_amount_win  Decimal(38, 8)
)
ENGINE = MergeTree
ORDER BY (created_hour, user_id, game_id)
COMMENT 'Hours of a file that is being reconciled'
