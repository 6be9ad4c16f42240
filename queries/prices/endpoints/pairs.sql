-- All pairs on all exchanges, and when each had its last event.
-- path: /prices/pairs
-- param limit default=10000 Number of rows of a page
-- page: base, quote, exchange
SELECT
    base,
    quote,
    exchange,
    timestamp AS last_seen
FROM latest_prices FINAL
