-- Copies of rounds of the noted hours: all but the one that came from the topic first. Rounds of which the file has contradictory
-- rows are left alone. Ids are in order, so that none need be kept in memory.
INSERT INTO {removals:Identifier}
SELECT copy.3 AS part, copy.4 AS part_offset, copy.5 AS created_hour, copy.6 AS user_id, copy.7 AS game_id
FROM
(
    SELECT
        game_instance_id,
        arrayJoin(arraySlice(arraySort(groupArray((
            kafka_epoch = 0, (kafka_epoch, kafka_partition, kafka_offset), _part, _part_offset, toStartOfHour(created_timestamp), user_id, game_id
        ))), 2)) AS copy,
        1 AS one
    FROM game_rounds
    WHERE game_instance_id IN
    (
        SELECT game_instance_id
        FROM game_rounds
        WHERE created_timestamp >= toDateTime64({first_hour:UInt32}, 3, 'UTC')
            AND created_timestamp < toDateTime64({last_hour:UInt32}, 3, 'UTC') + INTERVAL 1 HOUR
        GROUP BY game_instance_id
        HAVING count() > 1 AND max((toStartOfHour(created_timestamp), user_id, game_id) IN
        (
            SELECT created_hour, user_id, game_id FROM reconcile_repair_hours WHERE job_id = {job:UUID}
        ))
    )
    AND game_instance_id NOT IN
    (
        SELECT game_instance_id FROM reconcile_differences
        WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'contradictory_in_file'
    )
    GROUP BY game_instance_id
)
SETTINGS
    optimize_aggregation_in_order = 1,
    max_memory_usage = 1073741824,
    max_execution_time = 600
