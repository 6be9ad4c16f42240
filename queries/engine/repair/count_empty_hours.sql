-- Counts the noted hours that have no rounds any more and are still in the table.
SELECT count()
FROM
(
    SELECT created_hour, user_id, game_id
    FROM hourly_aggregates
    WHERE created_hour BETWEEN toDateTime({first_hour:UInt32}, 'UTC') AND toDateTime({last_hour:UInt32}, 'UTC')
        AND (created_hour, user_id, game_id) IN (SELECT created_hour, user_id, game_id FROM reconcile_repair_hours WHERE job_id = {job:UUID})
    GROUP BY created_hour, user_id, game_id
    HAVING (sum(rounds_played), sum(real_amount_bet), sum(bonus_amount_bet), sum(real_amount_win), sum(bonus_amount_win))
        = (0, 0, 0, 0, 0)
)
