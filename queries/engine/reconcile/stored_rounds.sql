-- Counts the stored rounds of a range of ids.
SELECT count() FROM game_rounds
WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
SETTINGS max_execution_time = 600
