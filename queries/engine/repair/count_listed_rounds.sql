-- Counts what is stored of the rounds in the list of removals.
SELECT count() FROM game_rounds WHERE game_instance_id IN (SELECT game_instance_id FROM {removals:Identifier})
