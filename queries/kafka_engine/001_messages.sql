-- What ClickHouse has consumed of the topic of rounds, block by block, for the views on it; keeps nothing. It stands between so
-- that consumption begins with the last view, once all others are there.
CREATE TABLE kafka_rounds_messages
(
    created_timestamp DateTime64(3, 'UTC'),
    game_instance_id  UInt64,
    user_id           String,
    game_id           UInt64,
    real_amount_bet   Nullable(Decimal(28, 8)),
    bonus_amount_bet  Nullable(Decimal(28, 8)),
    real_amount_win   Nullable(Decimal(28, 8)),
    bonus_amount_win  Nullable(Decimal(28, 8)),
    game_name         String,
    provider          String,
    upload_id         Nullable(UUID),
    line              Nullable(UInt64),
    error             String COMMENT 'Why it could not be decoded; empty: it is a round',
    raw_message       String COMMENT 'Where it could not be decoded',
    kafka_topic       String,
    kafka_partition   UInt16,
    kafka_offset      UInt64
)
ENGINE = Null
COMMENT 'Messages on their way: not to be read'
