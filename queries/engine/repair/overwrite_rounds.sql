-- Gives rounds the values of the file. Running it again changes nothing.
ALTER TABLE game_rounds UPDATE
    created_timestamp = joinGet({qualified_values:String}, 'created_timestamp', game_instance_id),
    user_id = joinGet({qualified_values:String}, 'user_id', game_instance_id),
    game_id = joinGet({qualified_values:String}, 'game_id', game_instance_id),
    real_amount_bet = joinGet({qualified_values:String}, 'real_amount_bet', game_instance_id),
    bonus_amount_bet = joinGet({qualified_values:String}, 'bonus_amount_bet', game_instance_id),
    real_amount_win = joinGet({qualified_values:String}, 'real_amount_win', game_instance_id),
    bonus_amount_win = joinGet({qualified_values:String}, 'bonus_amount_win', game_instance_id),
    game_name = joinGet({qualified_values:String}, 'game_name', game_instance_id),
    provider = joinGet({qualified_values:String}, 'provider', game_instance_id)
WHERE game_instance_id IN (SELECT game_instance_id FROM {values:Identifier})
    AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
