-- The number of events and pairs of each exchange, in the last two days
SELECT
    exchange,
    count() AS events,
    uniqExact(base, quote) AS pairs,
    max(timestamp) AS last_event
FROM prices
GROUP BY exchange
ORDER BY events DESC
