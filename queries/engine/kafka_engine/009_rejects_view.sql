-- Every rejected line.
CREATE MATERIALIZED VIEW kafka_rejects_view TO rejects AS
SELECT
    _headers.value[indexOf(_headers.name, 'upload_id')] AS upload_id,
    toUInt64OrZero(_headers.value[indexOf(_headers.name, 'line')]) AS line,
    toUInt64OrZero(_headers.value[indexOf(_headers.name, 'byte_offset')]) AS byte_offset,
    _headers.value[indexOf(_headers.name, 'column')] AS column,
    _headers.value[indexOf(_headers.name, 'code')] AS code,
    _headers.value[indexOf(_headers.name, 'reason')] AS reason,
    _headers.value[indexOf(_headers.name, 'faults')] AS faults,
    raw,
    _topic AS kafka_topic,
    {epoch:UInt32} AS kafka_epoch,
    toUInt16(_partition) AS kafka_partition,
    toUInt64(_offset) AS kafka_offset
FROM kafka_rejects
