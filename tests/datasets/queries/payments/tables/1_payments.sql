-- Each payment once.
CREATE TABLE IF NOT EXISTS payments
(
    merchant        String,
    payment_id      UInt64,
    paid_at         DateTime64(3, 'UTC'),
    due_on          Date32,
    method          LowCardinality(String),
    payer           String,
    amount          Decimal(18, 4),
    refunded        Nullable(Bool),
    received_at     Nullable(DateTime64(3, 'UTC')),
    upload_id       Nullable(UUID),
    line            Nullable(UInt64),
    kafka_epoch     UInt32,
    kafka_partition UInt16,
    kafka_offset    UInt64,
    recounted       Bool DEFAULT false
)
ENGINE = MergeTree
ORDER BY (merchant, payment_id)
SETTINGS non_replicated_deduplication_window = 1000
