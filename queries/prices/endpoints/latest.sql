-- The last price of pairs.
--
-- Without parameters, of all pairs. An event that is older than the last one never replaces it. Of two with the same timestamp, the one
-- with the higher offset in Kafka is the later. A request that names whole pairs is answered from memory, and sees an event as soon as
-- Kafka has it.
-- path: /prices/latest
-- param base      Currency that is priced, such as BTC
-- param quote     Currency of the price, such as USDT
-- param exchange  Where the pair is traded, such as binance
-- param pairs     Only these pairs, at most 10,000: base, quote and exchange of each
-- param limit     default=10000 Number of rows of a page
-- page: base, quote, exchange
-- latest: base, quote, exchange, pairs
SELECT
    base,
    quote,
    exchange,
    price,
    timestamp,
    base_volume_24h,
    quote_volume_24h
FROM latest_prices FINAL
WHERE ({base:Nullable(String)} IS NULL OR base = {base:Nullable(String)})
    AND ({quote:Nullable(String)} IS NULL OR quote = {quote:Nullable(String)})
    AND ({exchange:Nullable(String)} IS NULL OR exchange = {exchange:Nullable(String)})
    AND (empty({pairs:Array(Tuple(String, String, String))}) OR (base, quote, exchange) IN {pairs:Array(Tuple(String, String, String))})
