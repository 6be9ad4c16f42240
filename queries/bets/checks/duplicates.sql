-- Rounds that are stored more than once
-- expect: no rows
SELECT
    game_instance_id,
    count() AS times,
    groupArray(10)((kafka_epoch, kafka_partition, kafka_offset)) AS came_from
FROM game_rounds
GROUP BY game_instance_id
HAVING times > 1
ORDER BY game_instance_id
LIMIT 100
SETTINGS max_bytes_before_external_group_by = 1000000000
