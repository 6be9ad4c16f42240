-- How far each partition of a topic is in the tables, in each of its epochs: since when there is that epoch, and the offset
-- that comes next.
SELECT
    chunks.epoch AS epoch,
    toUnixTimestamp64Milli(any(topics.since)) AS started_at,
    chunks.partition AS partition,
    max(chunks.last_offset) + 1 AS next_offset
FROM loader_chunks AS chunks
INNER JOIN (SELECT epoch, min(started_at) AS since FROM loader_topics WHERE topic = {topic:String} GROUP BY epoch) AS topics
    ON chunks.epoch = topics.epoch
WHERE chunks.topic = {topic:String} AND chunks.state = 'done'
GROUP BY epoch, partition
ORDER BY epoch, partition
