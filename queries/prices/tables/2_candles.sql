-- Open, high, low and close of each pair: by minute for 90 days, then by hour for five years, then by day.
--
-- Merges combine the candles of an hour or a day when these are old enough. All columns are states that can be combined in any order, so
-- a late event corrects its candle, and an event that comes twice changes nothing: the first and last price are those with the lowest and
-- highest position (see the view), and an event is counted by the hash of its time and values. `uniq` counts up to 65,536 events of a
-- candle exactly, and more with an error of some 0.5 %.
--
-- Readers must combine the rows of an interval themselves, as queries/prices/endpoints/ohlc.sql does.
CREATE TABLE IF NOT EXISTS candles
(
    base     LowCardinality(String),
    quote    LowCardinality(String),
    exchange LowCardinality(String),
    start    DateTime('UTC') COMMENT 'Start of the minute, hour or day' CODEC(Delta, ZSTD(1)),
    open     AggregateFunction(argMin, Decimal(38, 18), UInt128),
    high     SimpleAggregateFunction(max, Decimal(38, 18)),
    low      SimpleAggregateFunction(min, Decimal(38, 18)),
    close    AggregateFunction(argMax, Decimal(38, 18), UInt128),
    events   AggregateFunction(uniq, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (base, quote, exchange, toStartOfDay(start), toStartOfHour(start), start)
TTL
    start + INTERVAL 90 DAY GROUP BY base, quote, exchange, toStartOfDay(start), toStartOfHour(start) SET
        start = min(toStartOfHour(start)),
        open = argMinMergeState(open),
        high = max(high),
        low = min(low),
        close = argMaxMergeState(close),
        events = uniqMergeState(events),
    start + INTERVAL 5 YEAR GROUP BY base, quote, exchange, toStartOfDay(start) SET
        start = min(toStartOfDay(start)),
        open = argMinMergeState(open),
        high = max(high),
        low = min(low),
        close = argMaxMergeState(close),
        events = uniqMergeState(events)
SETTINGS
    non_replicated_deduplication_window = 1000,
    -- A day of a pair has 1,440 rows. Small granules avoid reading many other rows with them.
    index_granularity = 1024,
    min_compress_block_size = 16384,
    -- Combining old candles rewrites whole parts. Once a day is enough.
    merge_with_ttl_timeout = 86400
COMMENT 'Candles of each pair, by minute, hour or day depending on their age'
