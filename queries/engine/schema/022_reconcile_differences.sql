-- The differences that reconciliations found: a row for each line, round or hour. Rows of a file with the same id and other values
-- contradict each other.
--
-- A repair needs nothing else, because the file is deleted when its job has ended. Columns named `file_` are null if the file has no such
-- line ('unexpected'), columns named `stored_` if no such round is stored ('missing'); an amount can also be null by itself. If a round is
-- stored several times, one that differs is here. The columns from `created_hour` on are used for hours only. Only the rows of the attempt
-- in reconcile_jobs are valid: other attempts were interrupted.
-- Rows are kept for 30 days (see also DIFFERENCES_DAYS in src/reconcile/differences.rs).
CREATE TABLE IF NOT EXISTS reconcile_differences
(
    job_id                    UUID COMMENT 'As in reconcile_jobs',
    attempt                   UUID COMMENT 'The run of the job that found it; valid only if it is the one in reconcile_jobs',
    kind                      Enum8('different' = 1, 'missing' = 2, 'duplicate_in_file' = 3, 'unexpected' = 4, 'hour' = 5, 'contradictory_in_file' = 6),
    line                      UInt64 COMMENT 'Line in the file; 0 if the round is not in it',
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
    stored_upload_id          Nullable(UUID) COMMENT 'The upload that produced the stored round, and its line there',
    stored_line               Nullable(UInt64),
    created_hour              Nullable(DateTime('UTC')),
    user_id                   Nullable(String),
    game_id                   Nullable(UInt64),
    expected_rounds_played    Nullable(Int64) COMMENT 'Expected sum: the rounds of the file plus the stored rounds of other files',
    expected_real_amount_bet  Nullable(Decimal(38, 8)),
    expected_bonus_amount_bet Nullable(Decimal(38, 8)),
    expected_real_amount_win  Nullable(Decimal(38, 8)),
    expected_bonus_amount_win Nullable(Decimal(38, 8)),
    aggregated_rounds_played    Nullable(Int64) COMMENT 'The value in hourly_aggregates; 0 if the hour is missing there',
    aggregated_real_amount_bet  Nullable(Decimal(38, 8)),
    aggregated_bonus_amount_bet Nullable(Decimal(38, 8)),
    aggregated_real_amount_win  Nullable(Decimal(38, 8)),
    aggregated_bonus_amount_win Nullable(Decimal(38, 8)),
    found_at                  DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (job_id, attempt, kind, line, game_instance_id)
TTL found_at + INTERVAL 30 DAY
COMMENT 'Rows, rounds and hours that differ, as found by reconciliations'
