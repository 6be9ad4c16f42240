-- How far each partition of a topic is loaded: the next offset.
SELECT partition, max(last_offset) + 1 AS next_offset
FROM loader_chunks
WHERE topic = {topic:String} AND state = 'done'
    AND epoch = (SELECT max(epoch) FROM loader_topics WHERE topic = {topic:String})
GROUP BY partition
