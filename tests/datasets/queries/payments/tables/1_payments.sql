-- Each payment once.
CREATE TABLE IF NOT EXISTS payments
(
    payment_id      UInt64,
    paid_at         DateTime64(3, 'UTC'),
    method          String,
    payer           String,
    amount          Decimal(18, 4),
    kafka_epoch     UInt32,
    kafka_partition UInt16,
    kafka_offset    UInt64,
    recounted       Bool DEFAULT false
)
ENGINE = MergeTree
ORDER BY payment_id
SETTINGS non_replicated_deduplication_window = 1000
