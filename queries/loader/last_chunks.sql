-- The last chunk of each partition, and whether it is done.
SELECT
    partition,
    first_offset,
    last_offset,
    max(state = 'done') AS is_done,
    maxIf(fingerprint, state = 'done') AS fingerprint
FROM loader_chunks
WHERE topic = {topic:String} AND epoch = {epoch:UInt32}
GROUP BY partition, first_offset, last_offset
ORDER BY first_offset DESC
LIMIT 1 BY partition
