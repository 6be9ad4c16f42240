-- How far each topic and partition is loaded, and when
-- A chunk that stays unfinished could not be inserted yet.
SELECT
    topic,
    epoch,
    partition,
    max(last_offset) + 1 AS next_offset,
    sumIf(new, state = 'done') AS new_rows,
    sumIf(duplicate, state = 'done') AS duplicates,
    sumIf(conflict, state = 'done') AS conflicts,
    sumIf(undecodable, state = 'done') AS undecodable_messages,
    countIf(state = 'noted') - countIf(state = 'done') AS unfinished_chunks,
    max(written_at) AS last_written
FROM loader_chunks
GROUP BY topic, epoch, partition
ORDER BY topic, epoch, partition
