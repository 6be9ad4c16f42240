-- Removes noted hours whose sums are all zero. Readers see no difference.
ALTER TABLE hourly_aggregates DELETE
WHERE rounds_played = 0 AND real_amount_bet = 0 AND bonus_amount_bet = 0 AND real_amount_win = 0 AND bonus_amount_win = 0
    AND (created_hour, user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM reconcile_repair_hours WHERE job_id = {job:UUID})
    AND {generation:UInt32} IN (SELECT max(generation) FROM loader_leases GROUP BY topic)
