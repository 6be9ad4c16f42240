-- Rejected lines of an upload in their order: those that are open, or those that a replay has produced.
SELECT line, byte_offset, column, toString(found.code) AS code, reason, raw
FROM rejects AS found
WHERE upload_id = {upload_id:String}
    AND ({code:String} = '' OR found.code = {code:String})
    AND (line IN (SELECT line FROM reject_replays WHERE upload_id = {upload_id:String})) = {replayed:UInt8}
ORDER BY line
LIMIT {limit:UInt64}
