-- The rounds that a repair removes, if so asked those of the file's upload that are not in the file, and then copies of rounds of the
-- noted hours: all but the one that came from the topic first. Rounds with contradictory rows in the file keep their copies. Ids are in
-- order, so ClickHouse need not keep them in memory.
WITH unexpected AS
(
    SELECT game_instance_id, ifNull(stored_upload_id, toUUID('00000000-0000-0000-0000-000000000000')) AS upload
    FROM reconcile_differences
    WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'unexpected' AND {removes_unexpected:Bool}
)
SELECT
    'unexpected' AS reason,
    _part AS part,
    _part_offset AS part_offset,
    game_instance_id,
    toStartOfHour(created_timestamp) AS created_hour,
    user_id,
    game_id,
    real_amount_bet,
    bonus_amount_bet,
    real_amount_win,
    bonus_amount_win
FROM game_rounds
WHERE game_instance_id IN (SELECT game_instance_id FROM unexpected)
    AND (game_instance_id, ifNull(upload_id, toUUID('00000000-0000-0000-0000-000000000000'))) IN
    (
        SELECT game_instance_id, upload FROM unexpected
    )
UNION ALL
SELECT
    'copy' AS reason,
    copy.3 AS part,
    copy.4 AS part_offset,
    game_instance_id,
    copy.5 AS created_hour,
    copy.6 AS user_id,
    copy.7 AS game_id,
    copy.8 AS real_amount_bet,
    copy.9 AS bonus_amount_bet,
    copy.10 AS real_amount_win,
    copy.11 AS bonus_amount_win
FROM
(
    SELECT
        game_instance_id,
        arrayJoin(arraySlice(arraySort(stored -> (stored.1, stored.2, stored.3, stored.4), groupArray((
            kafka_epoch = 0, (kafka_epoch, kafka_partition, kafka_offset), _part, _part_offset,
            toStartOfHour(created_timestamp), user_id, game_id,
            real_amount_bet, bonus_amount_bet, real_amount_win, bonus_amount_win
        ))), 2)) AS copy
    FROM game_rounds
    WHERE game_instance_id IN
    (
        SELECT game_instance_id
        FROM game_rounds
        WHERE created_timestamp >= toDateTime64({first_hour:UInt32}, 3, 'UTC')
            AND created_timestamp < toDateTime64({last_hour:UInt32}, 3, 'UTC') + INTERVAL 1 HOUR
            AND (game_instance_id, ifNull(upload_id, toUUID('00000000-0000-0000-0000-000000000000'))) NOT IN
            (
                SELECT game_instance_id, upload FROM unexpected
            )
        GROUP BY game_instance_id
        HAVING count() > 1 AND max((toStartOfHour(created_timestamp), user_id, game_id) IN
        (
            SELECT created_hour, user_id, game_id FROM reconcile_repair_hours WHERE job_id = {job:UUID}
        ))
    )
    AND (game_instance_id, ifNull(upload_id, toUUID('00000000-0000-0000-0000-000000000000'))) NOT IN
    (
        SELECT game_instance_id, upload FROM unexpected
    )
    AND game_instance_id NOT IN
    (
        SELECT game_instance_id FROM reconcile_differences
        WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'contradictory_in_file'
    )
    GROUP BY game_instance_id
)
