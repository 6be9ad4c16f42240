-- The last chunk of each partition, and whether it is done. A writer may have given up on a note and begun again at the same offset. If
-- its note arrives after all, the chunk that was done takes precedence over it.
SELECT
    partition,
    first_offset,
    last_offset,
    max(state = 'done') AS is_done,
    maxIf(fingerprint, state = 'done') AS fingerprint
FROM loader_chunks
WHERE topic = {topic:String} AND epoch = {epoch:UInt32}
GROUP BY partition, first_offset, last_offset
ORDER BY first_offset DESC, is_done DESC, last_offset DESC
LIMIT 1 BY partition
