-- Pairs with an event that is more than a minute ahead of the time at which it was loaded
-- The clock of its sender is wrong. The event stays the latest price until that time.
-- expect: no rows
SELECT
    base,
    quote,
    exchange,
    count() AS events,
    max(timestamp) AS last_event,
    argMax(loaded_at, timestamp) AS loaded
FROM prices
WHERE timestamp > loaded_at + INTERVAL 1 MINUTE
GROUP BY base, quote, exchange
ORDER BY last_event DESC
LIMIT 100
