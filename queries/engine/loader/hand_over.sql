-- Begins a new epoch of a topic where the previous one ended: writes each partition's last offset and its fingerprint as a chunk without
-- messages, noted and done.
INSERT INTO loader_chunks (topic, epoch, partition, first_offset, last_offset, state, messages, fingerprint)
SELECT topic, {next_epoch:UInt32}, partition, last, last, arrayJoin(['noted', 'done']), 0, last_fingerprint
FROM
(
    SELECT topic, partition, max(last_offset) AS last, argMax(fingerprint, last_offset) AS last_fingerprint
    FROM loader_chunks
    WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND state = 'done'
    GROUP BY topic, partition
)
WHERE /* fence */
