-- Tables made by earlier releases lack who loaded a topic, which was always the loader of Roundhouse.
ALTER TABLE loader_topics
    ADD COLUMN IF NOT EXISTS loader Enum8('roundhouse' = 1, 'clickhouse' = 2) COMMENT 'Who loads it: another loader begins another epoch' AFTER partitions
