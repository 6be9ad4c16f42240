-- The acknowledged uploads that began last, newest first, with their topics and offsets.
SELECT toString(topic) AS topic, offsets, toUnixTimestamp64Milli(updated_at) AS updated_at
FROM upload_ledger FINAL
WHERE state = 'acknowledged'
ORDER BY upload_id DESC
LIMIT {limit:UInt64}
