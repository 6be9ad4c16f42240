-- Chunks of a topic that are done but have new rows that are not stored, and how many.
WITH chunks AS
(
    SELECT topic, epoch, partition, first_offset, last_offset, max(new) AS rounds, max(fingerprint) AS last_fingerprint
    FROM loader_chunks
    WHERE state = 'done' AND topic = {topic:String}
    GROUP BY topic, epoch, partition, first_offset, last_offset
    HAVING rounds > 0
)
SELECT topic, epoch, partition, first_offset, last_offset, last_fingerprint AS fingerprint, toUInt64(rounds - stored) AS missing
FROM chunks
LEFT JOIN
(
    SELECT chunk.epoch AS epoch, chunk.partition AS partition, chunk.first_offset AS first_offset, uniqExact(kafka_offset) AS stored
    FROM (SELECT kafka_epoch, kafka_partition, kafka_offset FROM /* table */) AS round
    ASOF INNER JOIN chunks AS chunk
        ON round.kafka_epoch = chunk.epoch AND round.kafka_partition = chunk.partition
            AND round.kafka_offset >= chunk.first_offset
    WHERE round.kafka_offset <= chunk.last_offset
    GROUP BY epoch, partition, first_offset
) AS found USING (epoch, partition, first_offset)
WHERE stored < rounds
ORDER BY epoch, partition, first_offset
