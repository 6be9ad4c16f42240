-- Rounds that came again with other values than those that are stored, which stay: the columns of schemas/bets.avsc as they
-- were sent, and where in Kafka they came from. A chunk that is loaded again brings the same rows: FINAL has each once.
CREATE TABLE IF NOT EXISTS conflicts
(
    created_timestamp DateTime64(3, 'UTC'),
    game_instance_id  UInt64,
    user_id           String,
    game_id           UInt64,
    real_amount_bet   Nullable(Decimal(28, 8)),
    bonus_amount_bet  Nullable(Decimal(28, 8)),
    real_amount_win   Nullable(Decimal(28, 8)),
    bonus_amount_win  Nullable(Decimal(28, 8)),
    game_name         LowCardinality(String),
    provider          LowCardinality(String),
    upload_id         UUID COMMENT 'The upload that it came with; all zeros: produced by something else',
    line              Nullable(UInt64) COMMENT 'In the uploaded file',
    kafka_topic       LowCardinality(String),
    kafka_epoch       UInt32 COMMENT 'Which topic of that name: see loader_topics',
    kafka_partition   UInt16,
    kafka_offset      UInt64,
    loaded_at         DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (upload_id, kafka_topic, kafka_epoch, kafka_partition, kafka_offset)
COMMENT 'Rounds that came again with other values'
