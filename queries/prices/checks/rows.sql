-- How much is stored: events of the last two days, pairs, and the time range
SELECT
    count() AS events,
    uniqExact(base, quote, exchange) AS pairs,
    uniqExact(exchange) AS exchanges,
    min(timestamp) AS first_event,
    max(timestamp) AS last_event,
    min(loaded_at) AS first_loaded,
    max(loaded_at) AS last_loaded
FROM prices
