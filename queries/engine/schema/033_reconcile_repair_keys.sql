-- The rows of aggregate tables that a repair must check, recorded before it changes any row. They are deleted when the repair is done. A
-- repair that is retried uses those of the attempt before.
CREATE TABLE IF NOT EXISTS reconcile_repair_keys
(
    job_id           UUID COMMENT 'As in reconcile_jobs',
    aggregate_table  LowCardinality(String) COMMENT 'The aggregate table',
    key              String COMMENT 'The values of its keys, as the text of a tuple',
    in_file          Bool COMMENT 'Whether the file has rows that belong to it',
    noted_at         DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY (job_id, aggregate_table, key)
TTL noted_at + INTERVAL 30 DAY
COMMENT 'Rows of aggregate tables that a repair must check'
