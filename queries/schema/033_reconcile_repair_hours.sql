-- The hours that a repair has to look at, noted before it changes any round. Rows of repairs that are done are removed; one that is
-- tried again finds those of the last try.
CREATE TABLE IF NOT EXISTS reconcile_repair_hours
(
    job_id        UUID COMMENT 'As in reconcile_jobs',
    created_hour  DateTime('UTC'),
    user_id       String,
    game_id       UInt64,
    in_file       Bool COMMENT 'The file has rounds in it',
    noted_at      DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (job_id, created_hour, user_id, game_id)
TTL noted_at + INTERVAL 30 DAY
COMMENT 'Hours, players and games that a repair has to look at'
