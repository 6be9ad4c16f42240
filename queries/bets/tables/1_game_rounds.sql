-- Every round once: the columns of schemas/bets.avsc, and its position in Kafka.
--
-- The loader decides which rounds are new, so the engine does not have to. A plain MergeTree hides nothing, and
-- queries/bets/checks/duplicates.sql would find a duplicate if there ever were one. The deduplication window is the number of most recent
-- blocks whose tokens are remembered; the loader only ever repeats the last one. The index on time is for
-- reconciliations, which read all rounds of a few hours: ids and times grow together.
CREATE TABLE IF NOT EXISTS game_rounds
(
    created_timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    game_instance_id  UInt64 CODEC(Delta, ZSTD(1)),
    user_id           String,
    game_id           UInt64,
    real_amount_bet   Nullable(Decimal(28, 8)),
    bonus_amount_bet  Nullable(Decimal(28, 8)),
    real_amount_win   Nullable(Decimal(28, 8)),
    bonus_amount_win  Nullable(Decimal(28, 8)),
    game_name         LowCardinality(String),
    provider          LowCardinality(String),
    upload_id         Nullable(UUID) COMMENT 'The upload that produced the round; null if it was not an upload',
    line              Nullable(UInt64) COMMENT 'Line in the uploaded file' CODEC(Delta, ZSTD(1)),
    kafka_epoch       UInt32 COMMENT 'Epoch of the topic, see loader_topics',
    kafka_partition   UInt16,
    kafka_offset      UInt64 CODEC(Delta, ZSTD(1)),
    recounted         Bool DEFAULT false COMMENT 'The round came back after a deletion or with a repair; its hour was recomputed from its rounds',
    INDEX time created_timestamp TYPE minmax
)
ENGINE = MergeTree
ORDER BY game_instance_id
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Game rounds, each once'
