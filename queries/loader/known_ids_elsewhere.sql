-- Ids of rounds that did not come from this topic, as a bitmap.
SELECT groupBitmapState(game_instance_id) FROM game_rounds WHERE kafka_epoch != {epoch:UInt32}
