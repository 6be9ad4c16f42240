-- Rounds, bets and wins by hour, player and game. Each insert into game_rounds adds rows. Merges add them up, and every reader must do the
-- same: always use sum() over the key. SimpleAggregateFunction(sum) makes merges keep the sums.
--
-- The projections are the same rows ordered by player and by game, in the same parts: an inserted row is in all orders or in none. Merges
-- rebuild them, like the rows.
CREATE TABLE IF NOT EXISTS hourly_aggregates
(
    created_hour      DateTime('UTC'),
    user_id           String,
    game_id           UInt64,
    game_name         SimpleAggregateFunction(max, String) COMMENT 'If a game has several names, the last one in alphabetical order',
    provider          SimpleAggregateFunction(max, String),
    rounds_played     SimpleAggregateFunction(sum, UInt64),
    real_amount_bet   SimpleAggregateFunction(sum, Decimal(38, 8)),
    bonus_amount_bet  SimpleAggregateFunction(sum, Decimal(38, 8)),
    real_amount_win   SimpleAggregateFunction(sum, Decimal(38, 8)),
    bonus_amount_win  SimpleAggregateFunction(sum, Decimal(38, 8)),
    PROJECTION by_player (SELECT * ORDER BY user_id, created_hour, game_id),
    PROJECTION by_game (SELECT * ORDER BY game_id, created_hour, user_id)
)
ENGINE = AggregatingMergeTree
ORDER BY (created_hour, user_id, game_id)
SETTINGS
    non_replicated_deduplication_window = 1000,
    -- A page has a few hundred rows. Small granules avoid reading many other rows with them.
    index_granularity = 1024,
    min_compress_block_size = 16384,
    deduplicate_merge_projection_mode = 'rebuild',
    -- The whole key is kept in memory, even where its first column alone almost identifies the granule, because a player may have very many
    -- rows.
    primary_key_ratio_of_unique_prefix_values_to_skip_suffix_columns = 1
COMMENT 'Rounds, bets and wins by hour, player and game; use sum() over the key'
