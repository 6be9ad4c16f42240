-- Adds the last event of each pair in a block. The position is that of 3_candles_view.sql.
CREATE MATERIALIZED VIEW IF NOT EXISTS latest_prices_view TO latest_prices AS
SELECT
    base,
    quote,
    exchange,
    price,
    base_volume_24h,
    quote_volume_24h,
    timestamp,
    bitShiftLeft(toUInt128(toUnixTimestamp64Milli(timestamp)), 64) + bitShiftLeft(toUInt64(kafka_epoch), 48) + kafka_offset AS position
FROM prices
ORDER BY position DESC
LIMIT 1 BY base, quote, exchange
