-- The offsets in a range that produced neither a round nor a reject.
SELECT number AS passed_over
FROM numbers({first:UInt64}, {count:UInt64})
WHERE passed_over NOT IN
(
    SELECT kafka_offset
    FROM game_rounds
    WHERE kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16}
        AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}
    UNION ALL
    SELECT kafka_offset
    FROM rejects
    WHERE kafka_epoch = {epoch:UInt32} AND kafka_partition = {partition:UInt16}
        AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}
)
ORDER BY passed_over
