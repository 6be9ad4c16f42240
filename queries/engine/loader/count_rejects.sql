-- The number of rejects of a chunk, and of different offsets among them.
SELECT count() AS rows, uniqExact(kafka_offset) AS offsets FROM rejects
WHERE kafka_topic = {topic:String} AND kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16}
    AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}
