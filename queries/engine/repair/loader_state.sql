-- Counts the chunks of a topic that are noted and not done. Only the last one of each partition can be, as in
-- queries/engine/loader/last_chunks.sql.
SELECT countIf(NOT is_done)
FROM
(
    SELECT partition, max(state = 'done') AS is_done
    FROM loader_chunks
    WHERE topic = {topic:String} AND epoch = (SELECT max(epoch) FROM loader_topics WHERE topic = {topic:String})
    GROUP BY partition, first_offset, last_offset
    ORDER BY first_offset DESC, is_done DESC, last_offset DESC
    LIMIT 1 BY partition
)
