-- The current state of uploads of a dataset, or of all, newest first: one upload, those that begin with the same bytes, those of one server, or a page.
SELECT
    upload_id, toString(ledger.dataset) AS dataset, version, owner, replay_of, toString(ledger.state) AS state, toString(failure_code) AS failure_code, reason,
    file_name, sha256, head_sha256, bytes, toString(encoding) AS encoding, toString(delimiter) AS delimiter, header,
    later_headers, toString(decimal) AS decimal, toString(timezone) AS timezone, columns, toString(format) AS format, has_delimited_rows,
    rows, accepted, rejected, acknowledged, toJSONString(ledger.rejects_by_code) AS rejects_by_code,
    schema_id, toString(topic) AS topic, offsets, dead_letter_offsets,
    toUnixTimestamp64Milli(ledger.started_at) AS started_at, toUnixTimestamp64Milli(ledger.updated_at) AS updated_at, seconds
FROM upload_ledger AS ledger FINAL
WHERE ({upload_id:String} = '' OR ledger.upload_id = {upload_id:String})
    AND ({dataset:String} = '' OR ledger.dataset = {dataset:String})
    AND ({before:String} = '' OR ledger.upload_id < {before:String})
    AND ({head_sha256:String} = '' OR ledger.head_sha256 = {head_sha256:String})
    AND ({owner:String} = '' OR ledger.owner = {owner:String})
    AND ({state:String} = '' OR toString(ledger.state) = {state:String})
ORDER BY ledger.upload_id DESC
LIMIT {limit:UInt64}
