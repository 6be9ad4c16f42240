-- The uploads of a file for a dataset, by its digest, newest first. An upload that did not end has no digest.
SELECT DISTINCT upload_id
FROM upload_ledger
WHERE dataset = {dataset:String} AND sha256 = {sha256:String} AND sha256 != '' AND replay_of = ''
ORDER BY upload_id DESC
LIMIT {limit:UInt64}
