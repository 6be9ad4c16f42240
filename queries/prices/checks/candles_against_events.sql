-- Minutes whose candle lacks a stored event, or differs from the stored events
-- Of the last 90 days. Events are deleted after two days, so a candle may have more of them than are stored.
-- expect: no rows
WITH bitShiftLeft(toUInt128(toUnixTimestamp64Milli(timestamp)), 64) + bitShiftLeft(toUInt64(kafka_epoch), 48) + kafka_offset AS position
SELECT
    stored.base AS base,
    stored.quote AS quote,
    stored.exchange AS exchange,
    stored.start AS start,
    stored.events AS events_stored,
    candle.events AS events_aggregated,
    (stored.open, stored.high, stored.low, stored.close) AS prices_stored,
    (candle.open, candle.high, candle.low, candle.close) AS prices_aggregated
FROM
(
    SELECT
        base,
        quote,
        exchange,
        toStartOfMinute(timestamp) AS start,
        argMin(price, position) AS open,
        max(price) AS high,
        min(price) AS low,
        argMax(price, position) AS close,
        uniq(cityHash64(timestamp, price, base_volume_24h, quote_volume_24h)) AS events
    FROM prices
    WHERE timestamp > now() - INTERVAL 89 DAY
    GROUP BY base, quote, exchange, start
) AS stored
LEFT JOIN
(
    SELECT
        base,
        quote,
        exchange,
        start,
        argMinMerge(candles.open) AS open,
        max(candles.high) AS high,
        min(candles.low) AS low,
        argMaxMerge(candles.close) AS close,
        uniqMerge(candles.events) AS events
    FROM candles
    WHERE start > now() - INTERVAL 90 DAY
    GROUP BY base, quote, exchange, start
) AS candle USING (base, quote, exchange, start)
WHERE candle.events < stored.events OR candle.high < stored.high OR candle.low > stored.low
    OR (candle.events = stored.events AND prices_stored != prices_aggregated)
ORDER BY base, quote, exchange, start
LIMIT 100
