-- The last price of a currency, in each quote currency and on each exchange, newest first.
-- path: /prices/recent
-- param base required Currency that is priced, such as BTC
-- page: timestamp desc, quote, exchange
SELECT
    quote,
    exchange,
    price,
    timestamp
FROM latest_prices FINAL
WHERE base = {base:String}
