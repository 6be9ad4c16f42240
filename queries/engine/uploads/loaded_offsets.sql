-- How far each partition of a topic is loaded, in each of its epochs: when the epoch began, whether it continues the previous one, and the
-- next offset. An epoch of which nothing is loaded yet has one row with offset 0. A gap is a chunk with fewer messages than offsets; so is
-- what a compacted or transactional topic has.
SELECT
    topics.epoch AS epoch,
    toUnixTimestamp64Milli(topics.since) AS started_at,
    topics.goes_on AS continues,
    chunks.partition AS partition,
    chunks.next_offset AS next_offset,
    chunks.has_holes AS has_holes
FROM
(
    SELECT epoch, min(started_at) AS since, max(continues) AS goes_on
    FROM loader_topics
    WHERE topic = {topic:String}
    GROUP BY epoch
) AS topics
LEFT JOIN
(
    SELECT
        epoch,
        partition,
        max(last_offset) + 1 AS next_offset,
        max(messages < last_offset - first_offset + 1) AS has_holes
    FROM loader_chunks
    WHERE topic = {topic:String} AND state = 'done'
    GROUP BY epoch, partition
) AS chunks ON topics.epoch = chunks.epoch
ORDER BY epoch, partition
SETTINGS join_use_nulls = 0
