-- Ids of rounds that are known before what is loaded next, as a bitmap: those of other topics, and of this one those from before the
-- next offset of their partition.
SELECT groupBitmapState(game_instance_id) FROM game_rounds
WHERE kafka_epoch != {epoch:UInt32} OR kafka_offset < arrayElement({next:Array(UInt64)}, kafka_partition + 1)
