-- The valid rows of one job's file, while it runs. Each insert makes one part, and parts are rarely merged: merging them while a file is
-- being loaded costs more than reading a few more parts.
CREATE TABLE {rows:Identifier}
(
    line              UInt64,
    created_timestamp DateTime64(3, 'UTC'),
    game_instance_id  UInt64,
    user_id           String,
    game_id           UInt64,
    real_amount_bet   Nullable(Decimal(28, 8)),
    bonus_amount_bet  Nullable(Decimal(28, 8)),
    real_amount_win   Nullable(Decimal(28, 8)),
    bonus_amount_win  Nullable(Decimal(28, 8)),
    game_name         String,
    provider          String
)
ENGINE = MergeTree
ORDER BY (game_instance_id, line)
SETTINGS min_parts_to_merge_at_once = 50
COMMENT 'Rows of a file that is being reconciled'
