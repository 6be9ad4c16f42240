-- Payments by method and hour, and how many were paid back.
CREATE TABLE IF NOT EXISTS method_hours
(
    hour     DateTime('UTC'),
    method   LowCardinality(String),
    payments SimpleAggregateFunction(sum, UInt64),
    refunds  SimpleAggregateFunction(sum, UInt64),
    amount   SimpleAggregateFunction(sum, Decimal(38, 4))
)
ENGINE = AggregatingMergeTree
ORDER BY (hour, method)
SETTINGS non_replicated_deduplication_window = 1000
