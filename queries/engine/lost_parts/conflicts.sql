-- The offsets of a chunk at which a round came again with other values. No stored round comes from such an offset.
SELECT kafka_offset
FROM /* conflicts */
WHERE kafka_topic = {topic:String} AND kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16}
    AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}
