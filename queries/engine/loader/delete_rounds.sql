-- Deletes the rounds of a chunk before they are inserted again. Deletes nothing if another server took the lease over.
ALTER TABLE /* table */ DELETE
WHERE kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16}
    AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}
    AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
