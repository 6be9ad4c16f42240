-- What reconciliations found that is not as it should be: a row for each line, round or hour.
--
-- Complete enough to mend it all from here alone, since the file is gone when its job has ended. What is named `file_` is
-- null where the file has no such line ('unexpected'), and `stored_` where no such round is stored ('missing'); an amount can also
-- be null because it is. Of a round that is stored several times, a differing one is here. The columns from `created_hour` on
-- are for hours alone. Only the rows of the attempt that reconcile_jobs names count: others were given up half-way.
-- Kept for 30 days (DIFFERENCES_DAYS in src/reconcile/differences.rs says so too).
CREATE TABLE IF NOT EXISTS reconcile_differences
(
    job_id                    UUID COMMENT 'As in reconcile_jobs',
    attempt                   UUID COMMENT 'The run of the job that found it: as in reconcile_jobs, or it does not count',
    kind                      Enum8('different' = 1, 'missing' = 2, 'duplicate_in_file' = 3, 'unexpected' = 4, 'hour' = 5),
    line                      UInt64 COMMENT 'In the file; 0: not in it',
    game_instance_id          UInt64 COMMENT '0 for an hour',
    file_created_timestamp    Nullable(DateTime64(3, 'UTC')),
    file_user_id              Nullable(String),
    file_game_id              Nullable(UInt64),
    file_real_amount_bet      Nullable(Decimal(28, 8)),
    file_bonus_amount_bet     Nullable(Decimal(28, 8)),
    file_real_amount_win      Nullable(Decimal(28, 8)),
    file_bonus_amount_win     Nullable(Decimal(28, 8)),
    file_game_name            Nullable(String),
    file_provider             Nullable(String),
    stored_created_timestamp  Nullable(DateTime64(3, 'UTC')),
    stored_user_id            Nullable(String),
    stored_game_id            Nullable(UInt64),
    stored_real_amount_bet    Nullable(Decimal(28, 8)),
    stored_bonus_amount_bet   Nullable(Decimal(28, 8)),
    stored_real_amount_win    Nullable(Decimal(28, 8)),
    stored_bonus_amount_win   Nullable(Decimal(28, 8)),
    stored_game_name          Nullable(String),
    stored_provider           Nullable(String),
    stored_upload_id          Nullable(UUID) COMMENT 'The upload that the stored round came with, and its line there',
    stored_line               Nullable(UInt64),
    created_hour              Nullable(DateTime('UTC')),
    user_id                   Nullable(String),
    game_id                   Nullable(UInt64),
    expected_rounds_played    Nullable(Int64) COMMENT 'The sum of the rounds: of the file''s, and of those of others that are stored',
    expected_real_amount_bet  Nullable(Decimal(38, 8)),
    expected_bonus_amount_bet Nullable(Decimal(38, 8)),
    expected_real_amount_win  Nullable(Decimal(38, 8)),
    expected_bonus_amount_win Nullable(Decimal(38, 8)),
    aggregated_rounds_played    Nullable(Int64) COMMENT 'What hourly_aggregates has; 0 where it has no such hour',
    aggregated_real_amount_bet  Nullable(Decimal(38, 8)),
    aggregated_bonus_amount_bet Nullable(Decimal(38, 8)),
    aggregated_real_amount_win  Nullable(Decimal(38, 8)),
    aggregated_bonus_amount_win Nullable(Decimal(38, 8)),
    found_at                  DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (job_id, attempt, kind, line, game_instance_id)
TTL found_at + INTERVAL 30 DAY
COMMENT 'Rows, rounds and hours that a reconciliation found to differ'
