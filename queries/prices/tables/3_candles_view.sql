-- Adds each block of events to the candles of their minutes.
--
-- The position orders events: by time, then by epoch and offset in Kafka. The events of a pair are in one partition, so two with the same
-- time have different offsets. (After a change of the number of partitions a pair may have events in two; then their order within the same
-- millisecond is by offset.)
CREATE MATERIALIZED VIEW IF NOT EXISTS candles_view TO candles AS
WITH bitShiftLeft(toUInt128(toUnixTimestamp64Milli(timestamp)), 64) + bitShiftLeft(toUInt64(kafka_epoch), 48) + kafka_offset AS position
SELECT
    base,
    quote,
    exchange,
    toStartOfMinute(timestamp) AS start,
    argMinState(price, position) AS open,
    max(price) AS high,
    min(price) AS low,
    argMaxState(price, position) AS close,
    uniqState(cityHash64(timestamp, price, base_volume_24h, quote_volume_24h)) AS events
FROM prices
GROUP BY base, quote, exchange, start
