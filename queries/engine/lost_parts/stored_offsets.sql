-- The offsets of a chunk whose rows are stored. Without a key, each message is a row.
SELECT kafka_offset
FROM /* table */
WHERE kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16}
    AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}
