-- The rejects of these topics by code: those that no replay has sent since.
SELECT toString(kafka_topic) AS topic, toValidUTF8(toString(code)) AS name, count() AS rows
FROM rejects
LEFT ANTI JOIN (SELECT upload_id, line FROM reject_replays) AS replayed USING (upload_id, line)
WHERE kafka_topic IN {topics:Array(String)}
GROUP BY kafka_topic, code
ORDER BY topic, name
