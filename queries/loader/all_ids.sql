-- Ids of all rounds that are stored, as a bitmap.
SELECT groupBitmapState(game_instance_id) FROM game_rounds
