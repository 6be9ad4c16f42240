-- Adds the loader to tables of earlier releases, which always used Roundhouse's loader.
ALTER TABLE loader_topics
    ADD COLUMN IF NOT EXISTS loader Enum8('roundhouse' = 1, 'clickhouse' = 2) COMMENT 'What loads the topic; another loader begins a new epoch' AFTER partitions
