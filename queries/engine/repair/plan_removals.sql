-- The rows that a repair removes: if so asked those of the file's upload that are not in the file, and then copies of rows: all but the one
-- that came from the topic first. Rows with contradictory rows in the file keep their copies, and so do unexpected rows that stay. Keys are in
-- order, so ClickHouse need not keep them in memory.
WITH unexpected AS
(
    SELECT /* each key: `$name`, */ ifNull(stored_upload_id, toUUID('00000000-0000-0000-0000-000000000000')) AS upload
    FROM /* differences */
    WHERE job_id = {job:UUID} AND attempt = {attempt:UUID} AND kind = 'unexpected' AND {removes_unexpected:Bool}
)
SELECT _part AS part, _part_offset AS part_offset, /* each key: `$name` */
FROM /* table */
WHERE (/* each key: `$name` */) IN (SELECT /* each key: `$name` */ FROM unexpected)
    AND (/* each key: `$name`, */ ifNull(/* upload_id */, toUUID('00000000-0000-0000-0000-000000000000'))) IN
    (
        SELECT /* each key: `$name`, */ upload FROM unexpected
    )
UNION ALL
SELECT copy.3 AS part, copy.4 AS part_offset, /* each key: `$name` */
FROM
(
    SELECT
        /* each key: `$name`, */
        arrayJoin(arraySlice(arraySort(stored -> (stored.1, stored.2, stored.3, stored.4), groupArray((
            kafka_epoch = 0, (kafka_epoch, kafka_partition, kafka_offset), _part, _part_offset
        ))), 2)) AS copy
    FROM /* table */
    WHERE (/* each key: `$name` */) IN
    (
        SELECT /* each key: `$name` */
        FROM /* table */
        WHERE (/* each key: `$name`, */ ifNull(/* upload_id */, toUUID('00000000-0000-0000-0000-000000000000'))) NOT IN
        (
            SELECT /* each key: `$name`, */ upload FROM unexpected
        )
        GROUP BY /* each key: `$name` */
        HAVING count() > 1
    )
    AND (/* each key: `$name`, */ ifNull(/* upload_id */, toUUID('00000000-0000-0000-0000-000000000000'))) NOT IN
    (
        SELECT /* each key: `$name`, */ upload FROM unexpected
    )
    AND (/* each key: `$name` */) NOT IN
    (
        SELECT /* each key: `$name` */ FROM /* differences */
        WHERE job_id = {job:UUID} AND attempt = {attempt:UUID}
            AND (kind = 'contradictory_in_file' OR (kind = 'unexpected' AND NOT {removes_unexpected:Bool}))
    )
    GROUP BY /* each key: `$name` */
)
