-- Pairs with a stored event that is later than their latest price
-- expect: no rows
WITH
    bitShiftLeft(toUInt256(toUnixTimestamp64Milli(timestamp)), 112)
        + bitShiftLeft(toUInt256(kafka_epoch), 80)
        + bitShiftLeft(toUInt256(kafka_offset), 16)
        + kafka_partition AS event_position
SELECT
    base,
    quote,
    exchange,
    max(event_position) AS last_position,
    argMax(price, event_position) AS last_price,
    argMax(timestamp, event_position) AS last_seen
FROM prices
LEFT JOIN (SELECT base, quote, exchange, position FROM latest_prices FINAL) AS latest USING (base, quote, exchange)
GROUP BY base, quote, exchange
HAVING last_position > max(latest.position)
ORDER BY base, quote, exchange
LIMIT 100
