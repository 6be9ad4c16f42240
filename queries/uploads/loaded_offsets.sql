-- How far each partition of a topic is loaded, in each of its epochs: when the epoch began, whether it continues the previous one, and the
-- next offset. An epoch of which nothing is loaded yet has one row with offset 0.
SELECT
    topics.epoch AS epoch,
    toUnixTimestamp64Milli(topics.since) AS started_at,
    topics.goes_on AS continues,
    chunks.partition AS partition,
    chunks.next_offset AS next_offset
FROM
(
    SELECT epoch, min(started_at) AS since, max(continues) AS goes_on
    FROM loader_topics
    WHERE topic = {topic:String}
    GROUP BY epoch
) AS topics
LEFT JOIN
(
    SELECT epoch, partition, max(last_offset) + 1 AS next_offset
    FROM loader_chunks
    WHERE topic = {topic:String} AND state = 'done'
    GROUP BY epoch, partition
) AS chunks ON topics.epoch = chunks.epoch
ORDER BY epoch, partition
SETTINGS join_use_nulls = 0
