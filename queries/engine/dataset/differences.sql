-- The differences that reconciliations found: a row for each line, stored row or sum. Rows of a file with the same key and other values
-- contradict each other.
--
-- A repair needs nothing else, because the file is deleted when its job has ended. Columns named `file_` are null if the file has no such
-- line ('unexpected'), columns named `stored_` if no such row is stored ('missing'); a value can also be null by itself. If a row is
-- stored several times, one that differs is here. The columns after `stored_line` are used for sums only (kind 5): the key of an aggregate
-- table, its sums of the rows of the file and the stored rows of other files ('expected'), and its own ('aggregated'; 0 if it lacks the
-- key). Only the rows of the attempt in reconcile_jobs are valid: other attempts were interrupted.
-- Rows are kept for 30 days (see also DIFFERENCES_DAYS in src/reconcile/differences.rs).
CREATE TABLE IF NOT EXISTS /* differences */
(
    job_id                    UUID COMMENT 'As in reconcile_jobs',
    attempt                   UUID COMMENT 'The run of the job that found it; valid only if it is the one in reconcile_jobs',
    kind                      Enum8('different' = 1, 'missing' = 2, 'duplicate_in_file' = 3, 'unexpected' = 4, '/* kind of sums */' = 5, 'contradictory_in_file' = 6),
    line                      UInt64 COMMENT 'Line in the file; 0 if the row is not in it',
    /* each key: `$name` $plain, */
    /* each value: `file_$name` Nullable($plain), */
    /* each value: `stored_$name` Nullable($plain), */
    stored_upload_id          Nullable(UUID) COMMENT 'The upload that produced the stored row, and its line there',
    stored_line               Nullable(UInt64),
    /* each label: $name $type COMMENT 'The table whose sums differ; empty for a row', */
    /* each all_group: `$name` Nullable($plain), */
    /* each all_expected: `$name` Nullable($plain), */
    /* each all_aggregated: `$name` Nullable($plain), */
    found_at                  DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (job_id, attempt, kind, line, /* each key: `$name` */)
TTL found_at + INTERVAL 30 DAY
COMMENT 'Rows and sums that differ, as found by reconciliations'
