-- The numbers of an upload's open rejected lines; with a code, of those that have a fault with this code.
SELECT line
FROM rejects AS found
WHERE upload_id = {upload_id:String}
    AND ({code:String} = '' OR has(found.codes, {code:String}))
    AND line NOT IN (SELECT line FROM reject_replays WHERE upload_id = {upload_id:String})
