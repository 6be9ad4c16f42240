-- How far each partition of a topic is in the tables: the offset that comes next.
SELECT partition, max(last_offset) + 1 AS next_offset
FROM loader_chunks
WHERE topic = {topic:String} AND state = 'done'
    AND epoch = (SELECT max(epoch) FROM loader_topics WHERE topic = {topic:String})
GROUP BY partition
