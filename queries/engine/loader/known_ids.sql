-- The ids of rounds that count as known for the next chunks, as a bitmap: all of other epochs, and those of this epoch whose offset is
-- lower than the next offset of their partition.
SELECT groupBitmapState(/* key */) FROM /* table */
WHERE kafka_epoch != {epoch:UInt32} OR kafka_offset < arrayElement({next:Array(UInt64)}, kafka_partition + 1)
