-- Rejected lines that a replay has produced since. They are no longer open. Written once the broker has acknowledged their rows.
CREATE TABLE IF NOT EXISTS reject_replays
(
    upload_id    String COMMENT 'The upload that the line belongs to',
    line         UInt64,
    replay_id    String COMMENT 'The upload that produced the line',
    replayed_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(replayed_at)
ORDER BY (upload_id, line)
COMMENT 'Rejected lines that a replay has produced'
