-- Open, high, low and close of a pair, by minute, hour or day.
--
-- Minutes are kept for 90 days, hours for five years, and days forever. `auto` takes the finest of them that still reaches back to `from`.
-- An interval without events has no candle. Late events correct their candle. An event that is sent twice counts once.
-- path: /prices/ohlc
-- param base      required Currency that is priced, such as BTC
-- param quote     required Currency of the price, such as USDT
-- param exchange  required Where the pair is traded, such as binance
-- param from      First candle. Default: one day before `to`
-- param to        End, exclusive. Default: now
-- param interval  default=auto Length of a candle
-- param limit     default=1500 Number of rows of a page
-- page: time
-- plot: candles x=time open high low close
WITH
    ifNull({to:Nullable(DateTime('UTC'))}, now('UTC')) AS until,
    ifNull({from:Nullable(DateTime('UTC'))}, until - INTERVAL 1 DAY) AS since,
    now('UTC') - INTERVAL 90 DAY AS first_minute,
    now('UTC') - INTERVAL 5 YEAR AS first_hour,
    {interval:Enum('auto', '1m', '1h', '1d')} AS asked,
    multiIf(
        asked = '1m' OR (asked = 'auto' AND since >= first_minute), 60,
        asked = '1h' OR (asked = 'auto' AND since >= first_hour), 3600,
        86400) AS seconds,
    -- Older minutes and hours have been combined.
    greatest(since, multiIf(seconds = 60, first_minute, seconds = 3600, first_hour, toDateTime(0, 'UTC'))) AS oldest,
    -- The first candle begins at or after `from`, the last one before `to`. Both are complete.
    toDateTime(intDiv(toUInt32(oldest) + seconds - 1, seconds) * seconds, 'UTC') AS first_start,
    toDateTime(intDiv(toUInt32(until) + seconds - 1, seconds) * seconds, 'UTC') AS end_start
SELECT
    toDateTime(intDiv(toUInt32(start), seconds) * seconds, 'UTC') AS time,
    argMinMerge(candles.open) AS open,
    max(candles.high) AS high,
    min(candles.low) AS low,
    argMaxMerge(candles.close) AS close,
    uniqMerge(candles.events) AS events
FROM candles
WHERE base = {base:String} AND quote = {quote:String} AND exchange = {exchange:String}
    AND start >= first_start AND start < end_start
GROUP BY time
ORDER BY time
