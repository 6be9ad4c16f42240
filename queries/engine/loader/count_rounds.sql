-- The number of rounds of a chunk, and of different offsets among them.
SELECT count() AS rows, uniqExact(kafka_offset) AS offsets FROM /* table */
WHERE kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16}
    AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}
