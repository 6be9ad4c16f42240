-- The hours that a repair must check, recorded before it changes any round. The rows are deleted when the repair is done. A repair that is
-- retried uses the rows of the previous attempt.
CREATE TABLE IF NOT EXISTS reconcile_repair_hours
(
    job_id        UUID COMMENT 'As in reconcile_jobs',
    created_hour  DateTime('UTC'),
    user_id       String,
    game_id       UInt64,
    in_file       Bool COMMENT 'Whether the file has rounds in this hour',
    noted_at      DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (job_id, created_hour, user_id, game_id)
TTL noted_at + INTERVAL 30 DAY
COMMENT 'Hours, players and games that a repair must check'
