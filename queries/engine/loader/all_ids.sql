-- The ids of all stored rounds, as a bitmap.
SELECT groupBitmapState(game_instance_id) FROM game_rounds
