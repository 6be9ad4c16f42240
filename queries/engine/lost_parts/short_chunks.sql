-- Chunks of a topic that are done but have new rows that are not stored, and how many. If rows expire, a chunk counts only if rows of an
-- earlier one are stored.
WITH chunks AS
(
    SELECT topic, epoch, partition, first_offset, last_offset, max(new) AS rows, max(fingerprint) AS last_fingerprint
    FROM loader_chunks
    WHERE state = 'done' AND topic = {topic:String}
    GROUP BY topic, epoch, partition, first_offset, last_offset
    HAVING rows > 0
)
SELECT topic, epoch, partition, first_offset, last_offset, last_fingerprint AS fingerprint, toUInt64(rows - stored) AS missing
FROM
(
    SELECT *, minIf(first_offset, stored > 0) OVER (PARTITION BY epoch, partition) AS kept_from, max(stored) OVER (PARTITION BY epoch, partition) AS most
    FROM chunks
    LEFT JOIN
    (
        SELECT chunk.epoch AS epoch, chunk.partition AS partition, chunk.first_offset AS first_offset, uniqExact(kafka_offset) AS stored
        FROM (SELECT kafka_epoch, kafka_partition, kafka_offset FROM /* table */) AS found_row
        ASOF INNER JOIN chunks AS chunk
            ON found_row.kafka_epoch = chunk.epoch AND found_row.kafka_partition = chunk.partition
                AND found_row.kafka_offset >= chunk.first_offset
        WHERE found_row.kafka_offset <= chunk.last_offset
        GROUP BY epoch, partition, first_offset
    ) AS found USING (epoch, partition, first_offset)
)
WHERE stored < rows AND (NOT {expires:Bool} OR (most > 0 AND first_offset > kept_from))
ORDER BY epoch, partition, first_offset
