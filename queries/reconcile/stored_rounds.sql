-- How many rounds of a range of ids are stored.
SELECT count() FROM game_rounds
WHERE game_instance_id BETWEEN {first:UInt64} AND {last:UInt64}
SETTINGS max_execution_time = 600
