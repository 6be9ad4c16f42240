-- The rejected lines of an upload in order: the open ones, or those that a replay has produced. Any client may write to the dead-letter
-- topic, so invalid UTF-8 is repaired.
SELECT
    line,
    byte_offset,
    toValidUTF8(found.column) AS column,
    toValidUTF8(toString(found.code)) AS code,
    toValidUTF8(found.reason) AS reason,
    toValidUTF8(found.faults) AS faults,
    toValidUTF8(found.raw) AS raw
FROM rejects AS found
WHERE upload_id = {upload_id:String}
    AND ({code:String} = '' OR has(found.codes, {code:String}))
    AND (line IN (SELECT line FROM reject_replays WHERE upload_id = {upload_id:String})) = {replayed:UInt8}
ORDER BY line
LIMIT {limit:UInt64}
