-- The values that rounds are to get, by id. They are in memory, where a mutation reads them, and on disk, so that it can continue after a
-- crash.
CREATE TABLE IF NOT EXISTS {values:Identifier}
(
    game_instance_id  UInt64,
    created_timestamp DateTime64(3, 'UTC'),
    user_id           String,
    game_id           UInt64,
    real_amount_bet   Nullable(Decimal(28, 8)),
    bonus_amount_bet  Nullable(Decimal(28, 8)),
    real_amount_win   Nullable(Decimal(28, 8)),
    bonus_amount_win  Nullable(Decimal(28, 8)),
    game_name         String,
    provider          String
)
ENGINE = Join(ANY, LEFT, game_instance_id)
COMMENT 'Values that a repair gives to rounds'
