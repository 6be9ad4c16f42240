-- The offsets of each block that have been stored in a table: all except messages without a value, for which ClickHouse produces no row.
CREATE MATERIALIZED VIEW kafka_rejects_blocks_view TO consumed_blocks AS
SELECT
    {epoch:UInt32} AS epoch,
    toUInt16(_partition) AS partition,
    toUInt64(min(_offset)) AS first_offset,
    toUInt64(max(_offset)) AS last_offset,
    uniqExact(_offset) AS messages,
    toUInt64(0) AS rejects
FROM kafka_rejects
GROUP BY epoch, partition
