-- Rounds, bets and wins by hour, player and game. Each insert into game_rounds adds rows; merges add them up, and so does
-- whoever reads: always sum() over the key. SimpleAggregateFunction(sum) is what keeps merges from losing amounts.
CREATE TABLE IF NOT EXISTS hourly_aggregates
(
    created_hour      DateTime('UTC'),
    user_id           String,
    game_id           UInt64,
    game_name         SimpleAggregateFunction(max, String) COMMENT 'The last of the names in the alphabet, where a game has several',
    provider          SimpleAggregateFunction(max, String),
    rounds_played     SimpleAggregateFunction(sum, UInt64),
    real_amount_bet   SimpleAggregateFunction(sum, Decimal(38, 8)),
    bonus_amount_bet  SimpleAggregateFunction(sum, Decimal(38, 8)),
    real_amount_win   SimpleAggregateFunction(sum, Decimal(38, 8)),
    bonus_amount_win  SimpleAggregateFunction(sum, Decimal(38, 8))
)
ENGINE = AggregatingMergeTree
ORDER BY (created_hour, user_id, game_id)
SETTINGS
    non_replicated_deduplication_window = 1000,
    -- A page is some hundred rows: small granules, so that little else is read with them.
    index_granularity = 1024,
    min_compress_block_size = 16384
COMMENT 'Rounds, bets and wins by hour, player and game: sum() over the key'
