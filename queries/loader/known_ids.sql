-- Ids of rounds that came from a partition of this topic before an offset, as a bitmap.
SELECT groupBitmapState(game_instance_id) FROM game_rounds
WHERE kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16} AND kafka_offset < {before:UInt64}
