-- Gives hours the names of their rounds. Running it again changes nothing.
ALTER TABLE hourly_aggregates UPDATE
    game_name = joinGet({qualified_names:String}, 'game_name', concat(toString(toUInt32(created_hour)), ' ', toString(game_id), ' ', user_id)),
    provider = joinGet({qualified_names:String}, 'provider', concat(toString(toUInt32(created_hour)), ' ', toString(game_id), ' ', user_id))
WHERE (created_hour, user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM {names:Identifier})
    AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
