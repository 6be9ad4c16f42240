-- The numbers of an upload's open rejected lines.
SELECT line
FROM rejects AS found
WHERE upload_id = {upload_id:String}
    AND ({code:String} = '' OR found.code = {code:String})
    AND line NOT IN (SELECT line FROM reject_replays WHERE upload_id = {upload_id:String})
