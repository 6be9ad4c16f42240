-- Payments of a merchant that were due on a day.
CREATE TABLE IF NOT EXISTS merchant_days
(
    merchant String,
    due_on   Date32,
    payments SimpleAggregateFunction(sum, UInt64),
    amount   SimpleAggregateFunction(sum, Decimal(38, 4)),
    last     SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (merchant, due_on)
SETTINGS non_replicated_deduplication_window = 1000
