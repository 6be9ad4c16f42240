-- The skipped offsets of a topic.
SELECT epoch, partition, first_offset, last_offset, toString(code) AS code, reason
FROM loader_gaps FINAL
WHERE topic = {topic:String}
ORDER BY epoch, partition, first_offset
