-- The acknowledged uploads that began last, newest first: where their rows are in which topic.
SELECT toString(topic) AS topic, offsets, toUnixTimestamp64Milli(updated_at) AS updated_at
FROM upload_ledger FINAL
WHERE state = 'acknowledged'
ORDER BY upload_id DESC
LIMIT {limit:UInt64}
