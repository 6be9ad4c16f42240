-- Takes back what came from a chunk, so that it can be inserted whole; nothing, if the lease was taken over.
ALTER TABLE game_rounds DELETE
WHERE kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16}
    AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}
    AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
