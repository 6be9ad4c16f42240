-- The rows from which the last row of each key is found when a server starts. A table may have several rows of a key.
SELECT
    /* each column: CAST(`$name` AS $type) AS `$name` */,
    toUInt32(kafka_epoch) AS epoch,
    toUInt16(kafka_partition) AS partition,
    toUInt64(kafka_offset) AS offset
FROM /* latest */
