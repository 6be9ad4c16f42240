-- Rounds that are stored more than once
-- expect: no rows
SELECT
    game_instance_id,
    count() AS times,
    groupArray(10)(CAST((kafka_epoch, kafka_partition, kafka_offset), 'Tuple(epoch UInt32, partition UInt16, offset UInt64)')) AS came_from
FROM game_rounds
GROUP BY game_instance_id
HAVING times > 1
ORDER BY game_instance_id
LIMIT 100
SETTINGS max_bytes_before_external_group_by = 1000000000
