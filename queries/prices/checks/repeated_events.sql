-- Events that were sent more than once
-- They change no answer.
SELECT
    base,
    quote,
    exchange,
    timestamp,
    price,
    count() AS times,
    groupArray(10)(CAST((kafka_epoch, kafka_partition, kafka_offset), 'Tuple(epoch UInt32, partition UInt16, offset UInt64)')) AS came_from
FROM prices
GROUP BY base, quote, exchange, timestamp, price, base_volume_24h, quote_volume_24h
HAVING times > 1
ORDER BY base, quote, exchange, timestamp, price
LIMIT 100
SETTINGS max_bytes_before_external_group_by = 1000000000
