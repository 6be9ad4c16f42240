-- Takes back what came from a chunk, so that it can be inserted whole.
ALTER TABLE rejects DELETE
WHERE kafka_topic = {topic:String} AND kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16}
    AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}
