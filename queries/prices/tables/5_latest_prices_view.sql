-- Adds the last event of each pair in a block.
--
-- The position orders events as [latest] of dataset.toml does: by time, then by epoch, offset and partition. Each has all its bits, so two
-- events never have the same position.
CREATE MATERIALIZED VIEW IF NOT EXISTS latest_prices_view TO latest_prices AS
SELECT
    base,
    quote,
    exchange,
    price,
    base_volume_24h,
    quote_volume_24h,
    timestamp,
    kafka_epoch,
    kafka_partition,
    kafka_offset,
    bitShiftLeft(toUInt256(toUnixTimestamp64Milli(timestamp)), 112)
        + bitShiftLeft(toUInt256(kafka_epoch), 80)
        + bitShiftLeft(toUInt256(kafka_offset), 16)
        + kafka_partition AS position
FROM prices
ORDER BY position DESC
LIMIT 1 BY base, quote, exchange
